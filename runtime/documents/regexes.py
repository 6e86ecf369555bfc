"""Regular expressions that would explode are refused by their structure, in time linear in their length.

A backtracking engine needs exponential time where one text can match the body of a repetition in
several ways. So the body of each repetition must be unambiguous: from the next character alone one can
tell whether it belongs to this turn, to the next, or behind the repetition, and which alternative it
is. Outside of repetitions ambiguity costs a power (an unbounded repetition that can be left anywhere)
or a factor (an option, alternatives), and is bounded by number. What can not be judged is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from runtime.documents.regex_tokens import Kind, RegexRefusedError, Token, tokens

_OPTIONS: Final = frozenset("imsx")
_SIZE_MAX: Final = 10_000
"""Characters after bounded repetitions are written out, as engines do."""
_LOOPS_MAX: Final = 5
_CHOICES_MAX: Final = 10
_IGNORES_CASE: Final = re.compile(r"\(\?[a-z-]*i")


@dataclass(frozen=True, slots=True)
class _Part:
    """What was read of a pattern. Sets of characters are bits (`regex_tokens`)."""

    nullable: bool = True
    first: int = 0
    """Characters it may start with."""
    again: int = 0
    """Characters that a repetition at its end may go on with although it could be over."""
    more: int = 0
    """The same for an option at its end."""
    size: int = 0
    loops: int = 0
    """Repetitions that can be left in more than one place."""
    choices: int = 0
    """Other places where the next character does not tell how to go on."""


_NOTHING: Final = _Part()


@dataclass(slots=True)
class _Group:
    """An open group: alternatives that are complete, the one that is read, and its last item, which
    a repetition may still follow."""

    done: _Part | None = None
    before: _Part = _NOTHING
    last: _Part = _NOTHING
    zero_width: bool = False

    def add(self, part: _Part) -> None:
        self.before, self.last = _sequence(self.before, self.last), part

    def close_alternative(self) -> None:
        part = _sequence(self.before, self.last)
        self.done = part if self.done is None else _either(self.done, part)
        self.before = self.last = _NOTHING

    def close(self) -> _Part:
        self.close_alternative()
        part = self.done or _NOTHING
        if self.zero_width:
            return replace(part, nullable=True, first=0, again=0, more=0)
        return part


def regex_problem(pattern: str, options: str = "") -> str | None:
    """Why this pattern may not be used (to be put behind its name), or None."""
    if not _OPTIONS.issuperset(options):
        return "has options other than i, m, s and x"
    fold = "i" in options or _IGNORES_CASE.search(pattern) is not None
    try:
        whole = _read(tokens(pattern, extended="x" in options, fold=fold))
    except RegexRefusedError as refused:
        return str(refused)
    if whole.loops > _LOOPS_MAX:
        return f"has more than {_LOOPS_MAX} repetitions that can end in many places"
    if whole.choices > _CHOICES_MAX:
        return f"has more than {_CHOICES_MAX} options that look alike"
    return None


def _read(pattern: list[Token]) -> _Part:
    open_ = [_Group()]
    for token in pattern:
        group = open_[-1]
        match token.kind:
            case Kind.CHARACTER:
                group.add(_Part(nullable=False, first=token.characters, size=1))
            case Kind.OPEN | Kind.OPEN_ZERO_WIDTH:
                open_.append(_Group(zero_width=token.kind is Kind.OPEN_ZERO_WIDTH))
            case Kind.CLOSE:
                open_.pop()
                if not open_:
                    raise RegexRefusedError("closes a group that is not open")
                open_[-1].add(group.close())
            case Kind.ZERO_WIDTH:
                group.add(_NOTHING)
            case Kind.OR:
                group.close_alternative()
            case Kind.REPEAT:
                group.last = _repeated(group.last, token.lowest, token.highest)
    if len(open_) != 1:
        raise RegexRefusedError("leaves a group open")
    return open_[0].close()


def _sequence(left: _Part, right: _Part) -> _Part:
    loop = left.again & right.first
    choice = not loop and (left.more & right.first or (left.nullable and left.first & right.first))
    return _Part(
        nullable=left.nullable and right.nullable,
        first=left.first | (right.first if left.nullable else 0),
        again=right.again | (left.again if right.nullable else 0),
        more=right.more | (left.more | right.first if right.nullable else 0),
        size=_checked(left.size + right.size),
        loops=left.loops + right.loops + bool(loop),
        choices=left.choices + right.choices + bool(choice),
    )


def _either(left: _Part, right: _Part) -> _Part:
    return _Part(
        nullable=left.nullable or right.nullable,
        first=left.first | right.first,
        again=left.again | right.again,
        more=left.more | right.more,
        size=_checked(left.size + right.size),
        loops=left.loops + right.loops,
        choices=left.choices
        + right.choices
        + bool(left.first & right.first or (left.nullable and right.nullable)),
    )


def _repeated(body: _Part, lowest: int, highest: int | None) -> _Part:
    if highest is not None and highest <= 1:
        return replace(body, nullable=body.nullable or lowest == 0)
    ambiguous = body.loops or body.choices or (body.again | body.more) & body.first
    if body.size and (ambiguous or body.nullable):
        raise RegexRefusedError(
            "repeats what can match the same text in several ways, which may take for ever;"
            " let each turn start with a character that no turn can end or go on with"
        )
    return replace(
        body,
        nullable=lowest == 0,
        again=body.again | (body.first if highest != lowest else 0),
        size=_checked(body.size * max(lowest, highest or 1)),
    )


def _checked(size: int) -> int:
    if size > _SIZE_MAX:
        raise RegexRefusedError(f"is longer than {_SIZE_MAX} when its repetitions are written out")
    return size
