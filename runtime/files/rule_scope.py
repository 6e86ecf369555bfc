"""The scope of a file rule: for which files it is. Pure.

    *              all files
    /…/ or /…/i    those in whose path JavaScript's regular expression is found; i: in either case
    anything else  the file with exactly this path

RE2 searches the expressions, in time linear in the path. With `i` letters are compared by Unicode's
simple case folding, as in JavaScript with the flags iu.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import re2

from runtime.errors import InvalidParameterError
from runtime.files.paths import check_path
from runtime.files.rule_pattern import to_re2
from runtime.rule_json import RulePartError

PATTERN_MAX_CHARACTERS = 500
EVERYTHING = "*"

_RE2_MAX_BYTES = 128 * 1024
"""Of one expression with its cache of states: a hundred of them stay small in every gateway."""


class Scope(Protocol):
    """Immutable."""

    @property
    def cost(self) -> int:
        """Instructions of RE2's machine: it takes each at most once per byte of a path."""

    def covers(self, path: str) -> bool:
        """Whether the rule is for the file with this path."""


@dataclass(frozen=True, slots=True)
class Everything:
    """`*`."""

    cost: int = 0

    def covers(self, path: str) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class OneFile:
    """An exact path."""

    path: str
    cost: int = 0

    def covers(self, path: str) -> bool:
        return path == self.path


@dataclass(frozen=True, slots=True)
class Found:
    """A regular expression."""

    source: str
    """As it stands in the rule, with slashes and flags."""
    expression: Any = field(repr=False, compare=False)

    @property
    def cost(self) -> int:
        size: int = self.expression.programsize
        return size

    def covers(self, path: str) -> bool:
        return self.expression.search(path.encode("utf-8", "surrogatepass")) is not None


def scope_of(text: str) -> Scope:
    """Raises RulePartError."""
    if text == EVERYTHING:
        return Everything()
    if text.startswith("/"):
        return _pattern_scope(text)
    try:
        return OneFile(check_path(text))
    except InvalidParameterError as error:
        raise RulePartError(0, error.message) from None


def _pattern_scope(text: str) -> Found:
    end = text.rindex("/")
    source, flags = text[1:end], text[end + 1 :]
    if end == 0 or flags not in {"", "i"}:
        raise RulePartError(
            0 if end == 0 else end + 1,
            "a path begins without a slash; a regular expression stands between two, with nothing but an i"
            " behind them",
        )
    if not source:
        raise RulePartError(0, f"an empty expression is found everywhere: write {EVERYTHING!r}")
    if len(source) > PATTERN_MAX_CHARACTERS:
        raise RulePartError(
            PATTERN_MAX_CHARACTERS,
            f"a regular expression has at most {PATTERN_MAX_CHARACTERS} characters, this one {len(source)}",
        )
    try:
        translated = to_re2(source, ignore_case=flags == "i")
    except RulePartError as error:
        raise RulePartError(error.at + 1, error.message) from None
    options = re2.Options()
    options.max_mem = _RE2_MAX_BYTES
    options.log_errors = False
    options.never_capture = True
    options.case_sensitive = flags != "i"
    try:
        return Found(text, re2.compile(translated.encode(), options))
    except re2.error:
        raise RulePartError(
            0, "too long when its repetitions are written out; count to less, or use * and +"
        ) from None
