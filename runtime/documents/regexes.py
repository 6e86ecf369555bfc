r"""Regular expressions that would explode are refused by their structure, in time linear in their length.

A backtracking engine needs exponential time where one text can match the body of a repetition in
several ways. So the body of each repetition must be unambiguous: from the next character alone one can
tell whether it belongs to this turn, to the next, or behind the repetition, and which alternative it
is. What can not be judged is refused.

Outside of repetitions ambiguity costs a factor (an option, a short repetition, alternatives), which is
bounded by number, or a power of the text's length, which is bounded by degree. Of `X*Y` all of Y is tried
again at each place where X* may end, so degrees add up; where Y can not begin like X there is one such
place. A search puts one more degree in front, as it begins at every place of the text, but for `^`:

    ^[a-z]+@[a-z]+$  1    \d+-\d+  2    .*word.*  2    .*one.*two  3    a*a*b  3

The embedded server's engine (Python's) can not be interrupted and holds its interpreter meanwhile: a
degree of 3 takes 5 s for 3,000 characters, one of 2 for 40,000 to 100,000. A real MongoDB gives up by itself
(match limit of PCRE2), so there the bound may be set higher.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from runtime.documents.regex_tokens import Kind, RegexRefusedError, Token, tokens

DEGREE_MAX: Final = 2
_OPTIONS: Final = frozenset("imsx")
_SIZE_MAX: Final = 10_000
"""Characters after bounded repetitions are written out, as engines do."""
_FACTOR_MAX: Final = 1024
_SHORT_MAX: Final = 31
"""Characters between the least and the most of a repetition that costs a factor and no power."""
_IGNORES_CASE: Final = re.compile(r"\(\?[a-z-]*i")
_SEES_LINES: Final = re.compile(r"\(\?[a-z-]*m")


@dataclass(frozen=True, slots=True)
class _Part:
    """What was read of a pattern. Sets of characters are bits (`regex_tokens`)."""

    nullable: bool = True
    first: int = 0
    """Characters it may start with."""
    again: int = 0
    """Characters that a long repetition at its end may go on with although it could be over."""
    more: int = 0
    """The same for an option or a short repetition at its end."""
    size: int = 0
    ways: int = 0
    """Degree of the number of places where it can end."""
    degree: int = 0
    """Of the time until all its ways are tried, as when what follows fails."""
    last_degree: int = 0
    """The same as the end of a pattern, where its first way ends the search."""
    fails: bool = False
    """Whether there are texts on which it does not match at all."""
    starts: bool = False
    """Whether it matches at the text's start only."""
    looked: int = 0
    """Degree of the assertions within."""
    factor: int = 1
    """Ways to go on in the other places where the next character does not tell; not above `_FACTOR_MAX`
    by more than one."""
    width: int = 2
    """Ways of the option or short repetition at its end."""


_NOTHING: Final = _Part()
_ASSERTION: Final = _Part(fails=True)


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
            degree = part.degree
            return replace(
                _ASSERTION,
                size=part.size,
                factor=part.factor,
                degree=degree,
                last_degree=degree,
                looked=degree,
            )
        return part


def regex_problem(pattern: str, options: str = "", *, degree_max: int = DEGREE_MAX) -> str | None:
    """Why this pattern may not be used (to be put behind its name), or None."""
    if not _OPTIONS.issuperset(options):
        return "has options other than i, m, s and x"
    fold = "i" in options or _IGNORES_CASE.search(pattern) is not None
    try:
        whole = _read(tokens(pattern, extended="x" in options, fold=fold))
    except RegexRefusedError as refused:
        return str(refused)
    starts = whole.starts and "m" not in options and _SEES_LINES.search(pattern) is None
    degree = max(1, whole.last_degree + (not starts))
    if degree > degree_max:
        return (
            f"may take time with power {degree} of the text's length, {degree_max} is allowed: begin it"
            " with ^, leave out .* at its ends, or follow a repetition by what it can not match"
        )
    if whole.factor > _FACTOR_MAX:
        return f"has options that look alike, with more than {_FACTOR_MAX} ways through them"
    return None


def _read(pattern: list[Token]) -> _Part:
    open_ = [_Group()]
    for token in pattern:
        group = open_[-1]
        match token.kind:
            case Kind.CHARACTER:
                group.add(_Part(nullable=False, first=token.characters, size=1, fails=True))
            case Kind.OPEN | Kind.OPEN_ZERO_WIDTH:
                open_.append(_Group(zero_width=token.kind is Kind.OPEN_ZERO_WIDTH))
            case Kind.CLOSE:
                open_.pop()
                if not open_:
                    raise RegexRefusedError("closes a group that is not open")
                open_[-1].add(group.close())
            case Kind.ZERO_WIDTH | Kind.START:
                group.add(replace(_ASSERTION, starts=token.kind is Kind.START))
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
    ways = left.ways + bool(loop)
    # What can not fail is tried once, when it is the last.
    last = max(left.degree, ways + right.last_degree)
    if not right.fails:
        last = max(left.last_degree, right.last_degree)
    return _Part(
        nullable=left.nullable and right.nullable,
        first=left.first | (right.first if left.nullable else 0),
        again=right.again | (left.again if right.nullable else 0),
        more=right.more | (left.more | right.first if right.nullable else 0),
        size=_checked(left.size + right.size),
        ways=ways + right.ways,
        degree=max(left.degree, ways + right.degree),
        last_degree=last,
        fails=left.fails or right.fails,
        starts=left.starts or (right.starts and not left.size),
        looked=max(left.looked, right.looked),
        factor=_capped(left.factor * right.factor * (left.width if choice else 1)),
        width=max(left.width, right.width) if right.nullable else right.width,
    )


def _either(left: _Part, right: _Part) -> _Part:
    alike = left.first & right.first or (left.nullable and right.nullable)
    return _Part(
        nullable=left.nullable or right.nullable,
        first=left.first | right.first,
        again=left.again | right.again,
        more=left.more | right.more,
        size=_checked(left.size + right.size),
        ways=max(left.ways, right.ways),
        degree=max(left.degree, right.degree),
        last_degree=max(left.last_degree, right.last_degree),
        fails=left.fails and right.fails,
        starts=left.starts and right.starts,
        looked=max(left.looked, right.looked),
        factor=_capped(left.factor + right.factor if alike else max(left.factor, right.factor)),
        width=max(left.width, right.width),
    )


def _repeated(body: _Part, lowest: int, highest: int | None) -> _Part:
    optional = lowest == 0
    if highest is not None and highest <= 1:
        return replace(
            body,
            nullable=body.nullable or optional,
            fails=body.fails and not optional,
            starts=body.starts and not optional,
        )
    ambiguous = body.ways or body.factor > 1 or (body.again | body.more) & body.first
    if body.size and (ambiguous or body.nullable):
        raise RegexRefusedError(
            "repeats what can match the same text in several ways, which may take for ever;"
            " let each turn start with a character that no turn can end or go on with"
        )
    spread = None if highest is None else (highest - lowest) * body.size
    long = spread is None or spread > _SHORT_MAX or body.degree > 0
    degree = body.degree if spread == 0 else max(body.looked + 1, body.degree) if long else 0
    return replace(
        body,
        nullable=optional,
        fails=not optional,
        starts=body.starts and not optional,
        again=body.again | (body.first if long and spread != 0 else 0),
        more=body.more | (body.first if not long and spread else 0),
        size=_checked(body.size * max(lowest, highest or 1)),
        degree=degree,
        last_degree=degree,
        width=spread + 1 if spread and not long else body.width,
    )


def _capped(factor: int) -> int:
    return min(factor, _FACTOR_MAX + 1)


def _checked(size: int) -> int:
    if size > _SIZE_MAX:
        raise RegexRefusedError(f"is longer than {_SIZE_MAX} when its repetitions are written out")
    return size
