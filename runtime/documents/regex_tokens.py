"""Text of a regular expression (Perl's syntax, as the database reads it) -> tokens with sets of characters.

A set is a number with a bit for each ASCII character and four (`OTHER`) for kinds of all others. A set
may be larger than the truth, never smaller. Syntax that leaves regular languages is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

_LETTERS_BEYOND: Final = 1 << 128
_SPACES_BEYOND: Final = 1 << 129
_DIGITS_BEYOND: Final = 1 << 130
OTHER: Final = 0b1111 << 128
"""Any character above ASCII."""
ALL: Final = (1 << 132) - 1


class RegexRefusedError(ValueError):
    """Says why, to be put behind "the regular expression"."""


class Kind(Enum):
    """What a token does."""

    CHARACTER = auto()
    OPEN = auto()
    OPEN_ZERO_WIDTH = auto()
    ZERO_WIDTH = auto()
    """An assertion or a change of options: takes no character."""
    START = auto()
    """`^` or `\\A`, where lines do not count: holds in one place of the text."""
    CLOSE = auto()
    OR = auto()
    REPEAT = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """`characters` of CHARACTER; `lowest` and `highest` (None: no end) of REPEAT."""

    kind: Kind
    characters: int = 0
    lowest: int = 0
    highest: int | None = None


def _bits(text: str) -> int:
    return sum({1 << ord(each) for each in text})


def _span(first: str, last: str) -> int:
    return (1 << (ord(last) + 1)) - (1 << ord(first))


_SINGLE: Final = frozenset({OTHER, *(1 << code for code in range(128))})
_DIGITS: Final = _span("0", "9")
_WORDS: Final = _DIGITS | _span("a", "z") | _span("A", "Z") | _bits("_")
_SPACES: Final = _bits(" \t\n\r\f\v")
# Above ASCII both may be right: it depends on how the engine sees Unicode.
_ESCAPES: Final = {
    "d": _DIGITS | _DIGITS_BEYOND,
    "w": _WORDS | _LETTERS_BEYOND | _DIGITS_BEYOND,
    "s": _SPACES | _SPACES_BEYOND,
    "D": ALL & ~_DIGITS,
    "W": ALL & ~_WORDS,
    "S": ALL & ~_SPACES,
    "n": _bits("\n"),
    "r": _bits("\r"),
    "t": _bits("\t"),
    "f": _bits("\f"),
    "a": _bits("\a"),
    "e": _bits("\x1b"),
    "N": ALL,
    "h": ALL,
    "H": ALL,
    "v": ALL,
    "V": ALL,
    "R": ALL,
    "X": ALL,
}
_ZERO_WIDTH: Final = "bBzZG"
_SIGNS: Final = {")": Kind.CLOSE, "|": Kind.OR, "^": Kind.START, "$": Kind.ZERO_WIDTH}
_OPENING: Final = frozenset({Kind.OPEN, Kind.OPEN_ZERO_WIDTH})
_NOT_REPEATED: Final = _OPENING | {Kind.ZERO_WIDTH, Kind.START, Kind.OR, Kind.REPEAT}
_GROUPS_MAX: Final = 50
_OPENERS: Final = (
    (re.compile(r"\(\?(?::|>|P?<[A-Za-z_]\w*>|[ims]*(?:-[ims]+)?:)"), Kind.OPEN),
    (re.compile(r"\(\?(?:=|!|<=|<!)"), Kind.OPEN_ZERO_WIDTH),
    (re.compile(r"\((?![?*])"), Kind.OPEN),
)
_FLAGS: Final = re.compile(r"\(\?(?:[ims]+(?:-[ims]+)?|-[ims]+)\)")
_REPEAT: Final = re.compile(r"(?:([*+?])|\{([0-9]{1,5})(,([0-9]{0,5}))?\})[+?]?")
_BRACE: Final = re.compile(r"\{\s*,?\s*[0-9]")
_LONG_ESCAPE: Final = re.compile(
    r"\\(?:x\{[^}]*\}|x[0-9A-Fa-f]{0,2}|[pP]\{[^}]*\}|[pP].|c.|0[0-7]{0,2})"
)
_BLANKS: Final = re.compile(r"(?:[ \t\n\r\f\v]|#[^\n]*)+")
_ODD_BLANKS: Final = re.compile("[\x1c-\x1f\x85\u200e\u200f]|[^\\S \t\n\f\v]")
_POSIX: Final = re.compile(r"\[:\^?[a-z]+:\]")


def tokens(pattern: str, *, extended: bool, fold: bool) -> list[Token]:
    """Raises RegexRefusedError. `extended`: blanks and comments do not count; `fold`: the case does not."""
    if extended and _ODD_BLANKS.search(pattern):
        raise RegexRefusedError("has unusual blanks, of which engines see some and not others")
    found: list[Token] = []
    at = depth = 0
    while at < len(pattern):
        if extended and (blanks := _BLANKS.match(pattern, at)):
            at = blanks.end()
            continue
        token, at = _next(pattern, at)
        if token.kind is Kind.REPEAT and (not found or found[-1].kind in _NOT_REPEATED):
            raise RegexRefusedError("repeats nothing")
        if fold and token.kind is Kind.CHARACTER:
            token = Token(Kind.CHARACTER, _folded(token.characters))
        depth += (token.kind in _OPENING) - (token.kind is Kind.CLOSE)
        if depth > _GROUPS_MAX:
            raise RegexRefusedError(f"has groups deeper than {_GROUPS_MAX}")
        found.append(token)
    return found


def _next(pattern: str, at: int) -> tuple[Token, int]:
    """The token at a place and the place behind it."""
    character = pattern[at]
    if character == "\\":
        return _escape(pattern, at)
    if character == "[":
        characters, at = _class(pattern, at)
        return Token(Kind.CHARACTER, characters), at
    if character == "(":
        return _opener(pattern, at)
    if character in _SIGNS:
        return Token(_SIGNS[character]), at + 1
    if character in "*+?" or (character == "{" and _BRACE.match(pattern, at)):
        return _repeat(pattern, at)
    return Token(Kind.CHARACTER, ALL if character == "." else _one(character)), at + 1


def _opener(pattern: str, at: int) -> tuple[Token, int]:
    if flags := _FLAGS.match(pattern, at):
        return Token(Kind.ZERO_WIDTH), flags.end()
    for opener, kind in _OPENERS:
        if found := opener.match(pattern, at):
            return Token(kind), found.end()
    raise RegexRefusedError(f"has {pattern[at : at + 3]!a}, which is not allowed")


def _repeat(pattern: str, at: int) -> tuple[Token, int]:
    found = _REPEAT.match(pattern, at)
    if found is None:
        raise RegexRefusedError(f"has {pattern[at : at + 8]!a}, which is no repetition")
    sign, lowest, comma, highest = found.groups()
    if sign:
        low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
    else:
        low = int(lowest)
        high = low if comma is None else int(highest) if highest else None
    return Token(Kind.REPEAT, lowest=low, highest=high), found.end()


def _escape(pattern: str, at: int) -> tuple[Token, int]:
    name = pattern[at + 1 : at + 2]
    if name == "A":
        return Token(Kind.START), at + 2
    if name and name in _ZERO_WIDTH:
        return Token(Kind.ZERO_WIDTH), at + 2
    characters, at = _escaped(pattern, at)
    return Token(Kind.CHARACTER, characters), at


def _escaped(pattern: str, at: int) -> tuple[int, int]:
    """The set of an escape, inside or outside of brackets, and the place behind it."""
    name = pattern[at + 1 : at + 2]
    if found := _LONG_ESCAPE.match(pattern, at):
        return ALL, found.end()
    if name in _ESCAPES:
        if name == "N" and pattern[at + 2 : at + 3] == "{":
            raise RegexRefusedError("has \\N{, which is not allowed")
        return _ESCAPES[name], at + 2
    if not name or name.isalnum():
        # References back, calls of groups, quotations: not regular, or read differently by engines.
        raise RegexRefusedError(f"has {pattern[at : at + 2]!a}, which is not allowed")
    return _one(name), at + 2


def _class(pattern: str, at: int) -> tuple[int, int]:
    """The set of a class in brackets, and the place behind it."""
    at += 1
    negated = pattern.startswith("^", at)
    at += negated
    characters, exact = 0, True
    start = at
    while at < len(pattern) and (pattern[at] != "]" or at == start):
        member, at = _member(pattern, at)
        if pattern.startswith("-", at) and pattern[at + 1 : at + 2] not in ("", "]"):
            last, at = _member(pattern, at + 1)
            member = _between(member, last)
        characters |= member
        exact = exact and member != ALL
    if at >= len(pattern):
        raise RegexRefusedError("leaves a [ open")
    if negated:
        # What is left out must be known exactly; all above ASCII may stay in either way.
        characters = (ALL & ~characters if exact else ALL) | OTHER
    return characters, at + 1


def _member(pattern: str, at: int) -> tuple[int, int]:
    if posix := _POSIX.match(pattern, at):
        return ALL, posix.end()
    if pattern[at] == "[" and pattern[at + 1 : at + 2] in (":", ".", "="):
        raise RegexRefusedError(f"has {pattern[at : at + 2]!a} in brackets, which is not allowed")
    if pattern[at] != "\\":
        return _one(pattern[at]), at + 1
    if pattern.startswith("\\b", at):
        return _bits("\b"), at + 2
    return _escaped(pattern, at)


def _between(low: int, high: int) -> int:
    """A range between two single characters; other pairs are no ranges, so all are assumed."""
    if low not in _SINGLE or high not in _SINGLE or low > high:
        return ALL
    return (ALL + 1 if high == OTHER else high << 1) - (low & -low)


def _one(character: str) -> int:
    return 1 << ord(character) if character.isascii() else OTHER


def _folded(characters: int) -> int:
    upper, lower = _span("A", "Z"), _span("a", "z")
    # Above ASCII there are the Kelvin sign and the long s, which fold to k and s.
    kelvin = OTHER if characters & _bits("kKsS") else 0
    back = _bits("kKsS") if characters & OTHER else 0
    return characters | (characters & upper) << 32 | (characters & lower) >> 32 | kelvin | back
