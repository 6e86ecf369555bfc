"""What the text of a timer trigger says (spec: functions (d)). Pure.

Six fields, one space between them: second, minute, hour, day, month, weekday. The second is a plain number,
so the shortest interval is a minute. A prefix `cron:` and a seventh field `*` mean nothing; uniCloud and
older editions write them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

CRON_TEXT_MAX = 512
"""Characters; a list of all minutes has 169."""
PREFIX = "cron:"

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_SUNDAY = 7
"""Stands beside 0; as the end of a range it comes after Saturday."""

_TOKEN = re.compile(r"[0-9]+|[A-Za-z]+|.", re.DOTALL)
_OTHER_CRONS = frozenset({"L", "W", "LW", "#"})


class CronTextError(ValueError):
    """A text that is no timer. `place` is the number of the character, from 1, where it goes wrong."""

    def __init__(self, place: int, problem: str) -> None:
        super().__init__(f"character {place}: {problem}")
        self.place = place


def _number(word: str) -> int | None:
    """One or two digits."""
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 2 else None


@dataclass(frozen=True, slots=True)
class _Kind:
    """One of the six fields."""

    name: str
    lowest: int
    highest: int
    names: tuple[str, ...] = ()
    first_name: int = 0
    may_be_any: bool = False
    """`?` is the same as `*`."""

    def value(self, word: str) -> int | None:
        """None: it is neither a number nor a name of this field."""
        if (number := _number(word)) is not None:
            return number
        if word.upper() in self.names:
            return self.names.index(word.upper()) + self.first_name
        return None

    @property
    def allowed(self) -> str:
        names = f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"{self.lowest} to {self.highest}{names}"


_SECOND, _MINUTE, _HOUR = _Kind("second", 0, 59), _Kind("minute", 0, 59), _Kind("hour", 0, 23)
_DAY = _Kind("day", 1, 31, may_be_any=True)
_MONTH = _Kind("month", 1, 12, names=_MONTHS, first_name=1)
_WEEKDAY = _Kind("weekday", 0, _SUNDAY, names=_WEEKDAYS, may_be_any=True)
_KINDS = (_SECOND, _MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)

_DAYS_OF_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True, kw_only=True)
class CronFields:
    """The values that each field lets through; a weekday is 0 (Sunday) to 6."""

    second: int
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]


def read_cron_text(text: str) -> CronFields:
    """Raises CronTextError for the first rule that is broken."""
    if len(text) > CRON_TEXT_MAX:
        raise CronTextError(
            CRON_TEXT_MAX + 1, f"a timer has at most {CRON_TEXT_MAX} characters, not {len(text)}"
        )
    parts = _split(text)
    (second_at, second_text), *others = parts[: len(_KINDS)]
    second = _SECOND.value(second_text)
    if second is None or not 0 <= second <= _SECOND.highest:
        raise CronTextError(
            second_at,
            f"the second is one plain number, 0 to 59, not {second_text[:20]!r}:"
            " a timer runs at most once a minute",
        )
    values = [
        _Field(kind, at, part).values() for kind, (at, part) in zip(_KINDS[1:], others, strict=True)
    ]
    (day_at, day), (weekday_at, weekday) = parts[3], parts[5]
    if day not in {"*", "?"} and weekday not in {"*", "?"}:
        raise CronTextError(
            weekday_at, f"day ({day[:20]}) and weekday are not both set; make one of them * or ?"
        )
    fields = CronFields(
        second=second,
        minutes=values[0],
        hours=values[1],
        days=values[2],
        months=values[3],
        weekdays=frozenset(value % _SUNDAY for value in values[4]),
    )
    if min(fields.days) > max(_DAYS_OF_MONTH[month - 1] for month in fields.months):
        raise CronTextError(day_at, f"no month of field 5 has the day {min(fields.days)}")
    return fields


def _split(text: str) -> list[tuple[int, str]]:
    """The fields with the number of their first character."""
    start = len(PREFIX) if text.startswith(PREFIX) else 0
    parts: list[tuple[int, str]] = []
    at = start + 1
    for part in text[start:].split(" "):
        if not part:
            where = "at the ends" if at > len(text) or at == start + 1 else "in a row"
            problem = f"one space between two fields, none {where}" if text[start:] else "no field"
            raise CronTextError(at, f"{problem}; write e.g. 0 30 8 * * *")
        parts.append((at, part))
        at += len(part) + 1
    if len(parts) < len(_KINDS):
        names = ", ".join(kind.name for kind in _KINDS)
        raise CronTextError(
            len(text) + 1, f"{len(parts)} fields; a timer has {len(_KINDS)}: {names}"
        )
    if len(parts) > len(_KINDS):
        (seventh_at, seventh), *more = parts[len(_KINDS) :]
        if seventh != "*":
            raise CronTextError(seventh_at, "years are not supported; end after the weekday")
        if more:
            raise CronTextError(more[0][0], f"{len(parts)} fields; a timer has {len(_KINDS)}")
    return parts


class _Field:
    """Reads one field from left to right."""

    def __init__(self, kind: _Kind, at: int, text: str) -> None:
        self._kind = kind
        self._text = text
        self._tokens = [(at + match.start(), match[0]) for match in _TOKEN.finditer(text)]
        self._end = at + len(text)

    def values(self) -> frozenset[int]:
        if self._text == "?" and self._kind.may_be_any:
            return frozenset(range(self._kind.lowest, self._kind.highest + 1))
        found: set[int] = set()
        while True:
            found |= self._item()
            if not self._tokens:
                return frozenset(found)
            self._expect(",")

    def _item(self) -> set[int]:
        """`*`, a value or a range, each with a step or without."""
        kind = self._kind
        at, word = self._next("a value")
        if word == "*":
            first, last, single = kind.lowest, kind.highest, False
            if kind is _WEEKDAY:
                last = _SUNDAY - 1
        else:
            first, single = self._value(at, word), True
            last = first
            if self._peek() == "-":
                self._next("-")
                last, single = self._range_end(first), False
        if self._peek() != "/":
            return set(range(first, last + 1))
        self._next("/")
        step = self._step()
        if single:
            last = kind.highest
        return set(range(first, last + 1, step))

    def _range_end(self, first: int) -> int:
        at, word = self._next("the end of a range")
        last = self._value(at, word)
        if self._kind is _WEEKDAY and last == 0 and first > 0 and not word.isdigit():
            last = _SUNDAY
        if last < first:
            raise CronTextError(at, f"the range ends with {word[:20]}, before it begins")
        return last

    def _value(self, at: int, word: str) -> int:
        value = self._kind.value(word)
        if value is None or not self._kind.lowest <= value <= self._kind.highest:
            self._refuse_other_crons(at, word)
            raise CronTextError(
                at,
                f"{word[:20]!r} is no {self._kind.name}: {self._kind.allowed}, * , - / or a list",
            )
        return value

    def _step(self) -> int:
        at, word = self._next("a step")
        highest = self._kind.highest - self._kind.lowest + 1
        step = _number(word)
        if step is None or not 1 <= step <= highest:
            raise CronTextError(
                at, f"a step in the field {self._kind.name} is 1 to {highest}, not {word[:20]!r}"
            )
        return step

    def _peek(self) -> str:
        return self._tokens[0][1] if self._tokens else ""

    def _next(self, wanted: str) -> tuple[int, str]:
        if not self._tokens:
            raise CronTextError(self._end, f"the field {self._kind.name} lacks {wanted}")
        return self._tokens.pop(0)

    def _expect(self, wanted: str) -> None:
        at, word = self._next(wanted)
        if word != wanted:
            self._refuse_other_crons(at, word)
            raise CronTextError(at, f"{word[:20]!r} has no meaning here ({self._kind.name})")

    @staticmethod
    def _refuse_other_crons(at: int, word: str) -> None:
        if word.upper() in _OTHER_CRONS:
            raise CronTextError(at, "L, W and # are not supported")
