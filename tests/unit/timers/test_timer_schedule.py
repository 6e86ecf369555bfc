"""Ticks: compared with a walk over every minute that knows nothing of cron libraries."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice, pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from runtime.timers.cron_text import CRON_TEXT_MAX, CronTextError
from runtime.timers.schedule import read_schedule, utc_text

START_MS = 1_577_836_800_000
"""2020-01-01T00:00:00Z."""
UTC_8 = timezone(timedelta(hours=8))
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "after", "ticks"),
    [
        ("0 0 8 * * *", "2026-11-21T00:00:00Z", ["2026-11-22T00:00:00Z"]),
        ("0 0 8 * * *", "2026-11-20T23:59:59.999Z", ["2026-11-21T00:00:00Z"]),
        ("30 59 23 31 12 ?", "2026-12-31T00:00:00Z", ["2026-12-31T15:59:30Z"]),
        ("0 0 0 29 2 *", "2026-01-01T00:00:00Z", ["2028-02-28T16:00:00Z", "2032-02-28T16:00:00Z"]),
        ("0 0 0 29 2 *", "2099-01-01T00:00:00Z", ["2104-02-28T16:00:00Z"]),  # 2100 has none
        ("0 0 12 ? * SUN", "2026-11-21T00:00:00Z", ["2026-11-22T04:00:00Z"]),
        ("5 */30 * * * * *", "2026-11-21T00:00:05Z", ["2026-11-21T00:30:05Z"]),
    ],
)
def test_ticks_are_in_utc_8(text: str, after: str, ticks: list[str]) -> None:
    found = islice(read_schedule(text).ticks(at(after)), len(ticks))
    assert list(map(utc_text, found)) == ticks


def test_no_daylight_saving_time() -> None:
    """China had it from 1986 to 1991; UTC+8 has none."""
    ticks = list(islice(read_schedule("0 0 2 * * *").ticks(at("1988-04-01T00:00:00Z")), 30))
    assert {later - sooner for sooner, later in pairwise(ticks)} == {86_400_000}


class Field:
    """A field's text and, written down independently, what it lets through."""

    def __init__(self, text: str, values: set[int]) -> None:
        self.text = text
        self.values = values


@st.composite
def items(draw: st.DrawFn, lowest: int, highest: int, names: list[str], base: int) -> Field:
    def spelled(value: int) -> str:
        if names and draw(st.sampled_from([True, False])):
            return names[value - base]
        return f"{value:02d}" if draw(st.sampled_from([True, False])) else str(value)

    first = draw(st.integers(lowest, highest))
    last = draw(st.integers(first, highest))
    step = draw(st.integers(1, highest - lowest + 1))
    return draw(
        st.sampled_from(
            [
                Field(spelled(first), {first}),
                Field(f"{spelled(first)}-{spelled(last)}", set(range(first, last + 1))),
                Field(
                    f"{spelled(first)}-{spelled(last)}/{step}", set(range(first, last + 1, step))
                ),
                Field(f"*/{step}", set(range(lowest, highest + 1, step))),
            ]
        )
    )


@st.composite
def fields(
    draw: st.DrawFn, lowest: int, highest: int, names: list[str] | None = None, base: int = 0
) -> Field:
    found = draw(st.lists(items(lowest, highest, names or [], base), max_size=3))
    if not found:
        return Field("*", set(range(lowest, highest + 1)))
    return Field(
        ",".join(each.text for each in found), set().union(*(each.values for each in found))
    )


@st.composite
def timers(draw: st.DrawFn) -> tuple[str, int, list[set[int]]]:
    second = draw(st.integers(0, 59))
    minute, hour = draw(fields(0, 59)), draw(fields(0, 23))
    day, weekday = Field("*", set(range(1, 32))), Field("?", set(range(7)))
    which = draw(st.sampled_from(["day", "weekday", "neither"]))
    if which == "day":
        day = draw(fields(1, 31))
    elif which == "weekday":
        weekday = draw(fields(0, 6, WEEKDAYS))
    month = draw(fields(1, 12, MONTHS, 1))
    assume(any(value <= monthrange(2024, each)[1] for value in day.values for each in month.values))
    parts = [str(second), minute.text, hour.text, day.text, month.text, weekday.text]
    text = " ".join(parts) + draw(st.sampled_from(["", " *"]))
    text = draw(st.sampled_from(["", "cron:"])) + text
    return text, second, [each.values for each in (minute, hour, day, month, weekday)]


@settings(max_examples=150, deadline=None)
@given(
    timer=timers(),
    after_ms=st.integers(START_MS, START_MS + 20 * 365 * 86_400_000),
)
def test_next_tick_is_that_of_a_walk_over_every_minute(
    timer: tuple[str, int, list[set[int]]], after_ms: int
) -> None:
    text, second, (minutes, hours, days, months, weekdays) = timer
    start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=after_ms)
    moment = start.astimezone(UTC_8).replace(second=second, microsecond=0)
    if moment <= start:
        moment += timedelta(minutes=1)
    for _ in range(366 * 24 * 60):
        if (
            moment.minute in minutes
            and moment.hour in hours
            and moment.day in days
            and moment.month in months
            and moment.isoweekday() % 7 in weekdays
        ):
            break
        # Whole days that do not fit need no look at their minutes.
        fits = moment.day in days and moment.month in months and moment.isoweekday() % 7 in weekdays
        if fits:
            moment += timedelta(minutes=1)
        else:
            moment = moment.replace(hour=0, minute=0) + timedelta(days=1)
    assert read_schedule(text).after(after_ms) == round(moment.timestamp() * 1000)


@settings(max_examples=100, deadline=None)
@given(timer=timers(), start_s=st.integers(1_600_000_000, 2_200_000_000))
def test_ticks_come_at_most_once_a_minute_and_go_on_from_one_another(
    timer: tuple[str, int, list[set[int]]], start_s: int
) -> None:
    schedule = read_schedule(timer[0])
    ticks = list(islice(schedule.ticks(start_s * 1000), 20))
    for sooner, later in pairwise(ticks):
        assert later - sooner >= 60_000
        assert schedule.after(sooner) == schedule.after(later - 1) == later


@given(st.text(alphabet="0123456789*/,-? LW#JANMONcron:\t", max_size=CRON_TEXT_MAX + 10))
def test_any_text_is_a_timer_or_refused(text: str) -> None:
    try:
        place = read_schedule(text).after(0)
    except CronTextError as error:
        place = error.place
        assert place <= len(text) + 1
    assert place >= 1
