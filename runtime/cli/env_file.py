r"""Files of environment variables: `NAME=VALUE` lines, as `--env-file` reads and `function env` writes them.

    # a comment; blank lines are passed over, `export` before a name too
    PLAIN=text up to the end of the line   # a comment after a blank
    SINGLE='as it is, also over several lines'
    DOUBLE="with \n \r \t \b \f \" \\ and \uXXXX; other backslashes stay"

Nothing is expanded. Errors tell the line and quote nothing of it: it may be a secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

_NAME = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*")
_SKIPPED = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\r?\n)*[ \t]*(?:#[^\n]*\Z)?")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_PLAIN = re.compile(r"[^\n]*")
_COMMENT = re.compile(r"(?:^|[ \t])#.*")
_REST = re.compile(r"[ \t]*(?:#[^\n]*)?\r?(?:\n|\Z)")
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # one character beyond 16 bits
    r'|\\u[0-9a-fA-F]{4}|\\[nrtbf"\\/]'
)


class EnvFileError(ValueError):
    """The text is no file of variables; the message starts with the line."""


def read_env_file(text: str) -> dict[str, str]:
    """The variables by name. Raises EnvFileError."""
    found: dict[str, str] = {}
    at = _end_of(_SKIPPED, text, 0)
    while at < len(text):
        name = _NAME.match(text, at)
        if name is None:
            raise _error(text, at, "is no NAME=VALUE; a value of several lines needs quotes")
        if name[1] in found:
            raise _error(text, at, "sets a name that an earlier line has set")
        found[name[1]], at = _value(text, name.end())
        at = _end_of(_SKIPPED, text, at)
    return found


def write_env_file(env: Mapping[str, str]) -> str:
    """Text that `read_env_file` reads back; safe to print on a terminal."""
    return "".join(f"{name}={_quoted(value)}\n" for name, value in env.items())


def _value(text: str, at: int) -> tuple[str, int]:
    """The value that begins at `at`, and where the next line begins."""
    quote = text[at : at + 1]
    if quote not in {"'", '"'}:
        plain = _PLAIN.match(text, at)
        assert plain is not None
        return _COMMENT.sub("", plain[0]).strip(" \t\r"), min(plain.end() + 1, len(text))
    quoted = (_SINGLE if quote == "'" else _DOUBLE).match(text, at)
    if quoted is None:
        raise _error(text, at, "begins a quoted value that has no end")
    rest = _REST.match(text, quoted.end())
    if rest is None:
        raise _error(text, quoted.end(), "has text after its closing quote")
    value = quoted[1] if quote == "'" else _ESCAPE.sub(_unescaped, quoted[1])
    return value, rest.end()


def _unescaped(escape: re.Match[str]) -> str:
    return str(json.loads(f'"{escape[0]}"'))


def _quoted(value: str) -> str:
    text = json.dumps(value, ensure_ascii=False)
    # JSON leaves these as they are, terminals act on some and hide others
    return re.sub("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]", _as_escape, text)


def _as_escape(character: re.Match[str]) -> str:
    return f"\\u{ord(character[0]):04x}"


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _error(text: str, at: int, what: str) -> EnvFileError:
    return EnvFileError(f"line {text.count(chr(10), 0, at) + 1} {what}")
