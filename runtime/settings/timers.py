"""Timer triggers: who runs them, how late a tick may be."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from runtime.settings.fields import SettingGroup, setting


class TimerSettings(SettingGroup):
    """Timer triggers of all functions; one gateway at a time runs them."""

    timer_payload_max: int = setting(
        4096, "characters", "TimingTriggerUserPayload of a function", ge=1, le=65536
    )
    timer_late_max_s: float = setting(
        60.0, "s", "a tick that is later is counted as missed instead of run", gt=0, le=3600
    )
    timer_poll_s: float = setting(2.0, "s", "how often changed timers are looked for", gt=0, le=5)
    timer_lease_s: float = setting(
        10.0,
        "s",
        "another gateway runs the timers when the one that did is silent so long; every gateway the same",
        ge=1,
        le=300,
    )
    timer_concurrency: int = setting(
        32, "count", "ticks that are made jobs at the same time", ge=1, le=1000
    )
    timer_missed_count_max: int = setting(
        10_000, "count", "missed ticks of one timer that are counted after a stop; no more", ge=1
    )

    @model_validator(mode="after")
    def _a_lost_gateway_loses_no_tick(self) -> Self:
        longest_s = 2 * (self.timer_lease_s + self.timer_poll_s)
        if self.timer_late_max_s <= longest_s:
            raise ValueError(
                f"YUNHAN_TIMER_LATE_MAX_S={self.timer_late_max_s:g} must be greater than {longest_s:g},"
                " the time until another gateway runs the timers: twice the sum of"
                " YUNHAN_TIMER_LEASE_S and YUNHAN_TIMER_POLL_S"
            )
        return self
