"""When a timer is due: ticks in UTC+8, which has no daylight saving time (spec: functions (d)). Pure.

The calendar is cronsim's. It gets plain lists of numbers: what a text may say is decided by `cron_text`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cronsim import CronSim

from runtime.timers.cron_text import CronFields, read_cron_text

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - cronsim counts fastest without a zone
_ZONE_OFFSET = timedelta(hours=8)
"""Of cron texts. `ctx.args.triggerTime` is in UTC."""
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A timer that was read."""

    expression: str
    """As cronsim takes it."""

    def after(self, after_ms: int) -> int:
        """The first tick later than that moment. All are ms since 1970 and whole seconds."""
        return next(self.ticks(after_ms))

    def ticks(self, after_ms: int) -> Iterator[int]:
        """All ticks later than that moment; a timer ticks for ever."""
        # The driver of the clock may give any millisecond; cronsim goes on from the second before it.
        start = _EPOCH + timedelta(seconds=after_ms // 1000) + _ZONE_OFFSET
        for tick in CronSim(self.expression, start):
            yield (tick - _ZONE_OFFSET - _EPOCH) // _MS


def read_schedule(text: str) -> Schedule:
    """Raises CronTextError."""
    return Schedule(_expression(read_cron_text(text)))


def utc_text(tick_ms: int) -> str:
    """A tick as functions get it: `2020-04-08T10:22:31Z`."""
    return datetime.fromtimestamp(tick_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _expression(fields: CronFields) -> str:
    """A field that lets everything through must be `*`: cronsim takes day or weekday, else, not both."""
    return " ".join(
        (
            str(fields.second),
            _list(fields.minutes, 60),
            _list(fields.hours, 24),
            _list(fields.days, 31),
            _list(fields.months, 12),
            _list(fields.weekdays, 7),
        )
    )


def _list(values: Collection[int], all_of_them: int) -> str:
    return "*" if len(values) == all_of_them else ",".join(map(str, sorted(values)))
