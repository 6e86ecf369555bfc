r"""JavaScript's regular expressions -> RE2's syntax, or what stands in the way and where. Pure.

Read is what JavaScript reads without flags, and written out so that RE2 means the same: `\s` is
JavaScript's, `$` is the very end. Two things differ. It goes by characters, not by UTF-16 code units,
as JavaScript does with the flag u, and so does its ignoring of case; but `\b` and `\B` go by ASCII
letters then, too. And `.` is any character: a path holds no line terminator.

What matches is all that counts, so groups capture nothing and laziness is dropped. Refused is what RE2
lacks (looking around, references to groups), what nobody needs in a path (`\cX`, octal and surrogate
escapes, `[]`, `[^]`), and what JavaScript reads so only for old pages' sake (`\z` for a z, `[\w-x]`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from runtime.rule_json import RulePartError

REPEATS_MAX: Final = 1000
"""RE2's own bound."""

_LAST: Final = 0x10FFFF
_SURROGATES: Final = range(0xD800, 0xE000)

_Ranges = Sequence[tuple[int, int]]


def _complement(ranges: _Ranges) -> _Ranges:
    found: list[tuple[int, int]] = []
    begin = 0
    for low, high in ranges:
        if begin < low:
            found.append((begin, low - 1))
        begin = high + 1
    return [*found, (begin, _LAST)]


_DIGITS: Final = [(0x30, 0x39)]
_WORDS: Final = [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)]
_FOLDED_WORDS: Final = [*_WORDS, (0x17F, 0x17F), (0x212A, 0x212A)]
"""With the long s and the Kelvin sign, which fold to s and k."""
_SPACES: Final = [
    (0x09, 0x0D),
    (0x20, 0x20),
    (0xA0, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
    (0xFEFF, 0xFEFF),
]
_SETS: Final = {
    "d": _DIGITS,
    "w": _WORDS,
    "s": _SPACES,
    "D": _complement(_DIGITS),
    "W": _complement(_WORDS),
    "S": _complement(_SPACES),
}
_FOLDED_SETS: Final = {**_SETS, "w": _FOLDED_WORDS, "W": _complement(_FOLDED_WORDS)}
_CONTROLS: Final = {"t": 0x09, "n": 0x0A, "v": 0x0B, "f": 0x0C, "r": 0x0D}
_HEX: Final = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4}))")
_REPEAT: Final = re.compile(r"(?:[*+?]|\{([0-9]+)(,([0-9]*))?\})")
_PLAIN_GROUP: Final = re.compile(r"\((?:\?:|(?!\?))")
_NAMED_GROUP: Final = re.compile(r"\(\?<([A-Za-z_$][A-Za-z0-9_$]*)>")
_LOOKING: Final = re.compile(r"\(\?<?[=!]")


def to_re2(source: str, *, ignore_case: bool) -> str:
    """To be compiled with the same choice. Raises RulePartError."""
    return _Translation(source, _FOLDED_SETS if ignore_case else _SETS).whole()


class _Translation:
    """One pass from left to right."""

    def __init__(self, source: str, sets: Mapping[str, _Ranges]) -> None:
        self._source = source
        self._sets = sets
        self._at = 0
        self._written: list[str] = []
        self._open: list[int] = []
        """Where groups that are still open begin."""
        self._names: set[str] = set()
        self._repeatable = False
        """Whether a quantifier may follow."""

    def whole(self) -> str:
        while self._at < len(self._source):
            self._next()
        if self._open:
            raise RulePartError(self._open[-1], "this ( is not closed")
        written = "".join(self._written)
        # RE2 looks at every byte, and finds \B between the bytes of one character: begin at characters.
        return rf"\A(?s:.)*?(?:{written})" if r"\B" in self._written else written

    def _next(self) -> None:
        character = self._source[self._at]
        if character in "*+?" or (character == "{" and _REPEAT.match(self._source, self._at)):
            self._quantifier()
        elif character == "(":
            self._group()
        elif character == ")":
            self._close()
        elif character == "|":
            self._write("|", 1, repeatable=False)
        elif character == "^":
            self._write(r"\A", 1, repeatable=False)
        elif character == "$":
            self._write(r"\z", 1, repeatable=False)
        elif self._source[self._at : self._at + 2] in {r"\b", r"\B"}:
            self._write(self._source[self._at : self._at + 2], 2, repeatable=False)
        elif character == ".":
            self._write("(?s:.)", 1, repeatable=True)
        elif character == "[":
            self._class()
        else:
            self._write(f"[{_shown(self._member())}]", 0, repeatable=True)

    def _write(self, text: str, taken: int, *, repeatable: bool) -> None:
        self._written.append(text)
        self._at += taken
        self._repeatable = repeatable

    def _quantifier(self) -> None:
        if not self._repeatable:
            raise RulePartError(self._at, "here is nothing to repeat")
        found = _REPEAT.match(self._source, self._at)
        assert found is not None
        lowest, comma, highest = found.groups()
        if lowest is not None:
            counts = [int(count) for count in (lowest, highest) if count]
            if max(counts) > REPEATS_MAX:
                raise RulePartError(self._at, f"at most {REPEATS_MAX} repetitions can be counted")
            if counts != sorted(counts):
                raise RulePartError(self._at, "the repetitions run from more to less")
            text = "{" + ",".join(map(str, counts)) + ("," if comma and not highest else "") + "}"
        else:
            text = found.group()
        self._write(text, len(found.group()), repeatable=False)
        self._at += self._source.startswith("?", self._at)

    def _group(self) -> None:
        at = self._at
        if found := _NAMED_GROUP.match(self._source, at):
            if found.group(1) in self._names:
                raise RulePartError(at, f"the group {found.group(1)!r} is here a second time")
            self._names.add(found.group(1))
        elif _LOOKING.match(self._source, at):
            raise RulePartError(
                at,
                "looking ahead or behind is not possible; write an earlier rule for the exception",
            )
        else:
            found = _PLAIN_GROUP.match(self._source, at)
        if found is None:
            raise RulePartError(at, f"{self._source[at : at + 4]!r} is no group known here")
        self._open.append(at)
        self._write("(?:", len(found.group()), repeatable=False)

    def _close(self) -> None:
        if not self._open:
            raise RulePartError(self._at, "this ) closes nothing")
        self._open.pop()
        self._write(")", 1, repeatable=True)

    def _class(self) -> None:
        start = self._at
        self._at += 1
        negated = self._source.startswith("^", self._at)
        self._at += negated
        ranges: list[tuple[int, int]] = []
        while not self._source.startswith("]", self._at):
            if self._at >= len(self._source):
                raise RulePartError(start, "this [ is not closed")
            ranges += self._span()
        if not ranges:
            raise RulePartError(start, "there is nothing in these brackets")
        self._write(f"[{'^' if negated else ''}{_shown(ranges)}]", 1, repeatable=True)

    def _span(self) -> _Ranges:
        """A member of a class, or a range between two."""
        start = self._at
        first = self._member(in_class=True)
        behind = self._source[self._at + 1 : self._at + 2]
        if not self._source.startswith("-", self._at) or behind in {"", "]"}:
            return first
        self._at += 1
        last = self._member(in_class=True)
        low, high = first[0][0], last[0][0]
        if [(low, low)] != [*first] or [(high, high)] != [*last]:
            raise RulePartError(
                start, r"a range is between two characters; a plain - is written \-"
            )
        if low > high:
            raise RulePartError(start, "the range runs from more to less")
        return [(low, high)]

    def _member(self, *, in_class: bool = False) -> _Ranges:
        """One character or escape."""
        source, at = self._source, self._at
        if source[at] != "\\":
            self._at += 1
            return _one(source[at])
        if found := _HEX.match(source, at):
            code = int(found.group(1) or found.group(2), 16)
            if code in _SURROGATES:
                raise RulePartError(at, "half of a character; write the character itself")
            self._at = found.end()
            return [(code, code)]
        name = source[at + 1 : at + 2]
        self._at += 2
        if name in self._sets:
            return self._sets[name]
        if name in _CONTROLS:
            return [(_CONTROLS[name], _CONTROLS[name])]
        if in_class and name == "b":
            return [(0x08, 0x08)]
        if not name or (name.isascii() and name.isalnum()):
            raise RulePartError(at, _refusal(name))
        return _one(name)


def _one(character: str) -> _Ranges:
    return [(ord(character), ord(character))]


def _shown(ranges: _Ranges) -> str:
    return "".join(
        f"\\x{{{low:x}}}" if low == high else f"\\x{{{low:x}}}-\\x{{{high:x}}}"
        for low, high in ranges
    )


def _refusal(name: str) -> str:
    if not name:
        return "the backslash stands before nothing"
    if name.isdigit() or name == "k":
        return f"'\\{name}': references to groups and octal escapes are not possible"
    return f"'\\{name}' is not known here; a character stands for itself without a backslash"
