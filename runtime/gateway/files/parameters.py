"""Parameters of `Content-Type` and `Content-Disposition` fields, as form uploads need them."""

from __future__ import annotations

import re

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's name for a word
_VALUE = re.compile(r"[ \t]*([^;]*)")
_PARAMETER = re.compile(
    rf';[ \t]*({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^;"]*))[ \t]*', re.DOTALL
)
_ESCAPED = re.compile(r'\\(["\\])')


def value_of(field: str) -> str:
    """What stands before the parameters, in lower case."""
    found = _VALUE.match(field)
    return found[1].rstrip().lower() if found else ""


def parameter_of(field: str, name: str) -> str | None:
    """The first parameter of that name; None when there is none, or when what stands before it is malformed.

    Read from the front, so that a file name cannot pose as another parameter. Senders disagree about what
    is escaped: only quotes and backslashes are undone.
    """
    position = field.find(";")
    while position >= 0 and (found := _PARAMETER.match(field, position)) is not None:
        if found[1].lower() == name:
            quoted: str | None = found[2]
            return found[3].strip() if quoted is None else _ESCAPED.sub(r"\1", quoted)
        position = found.end()
    return None
