"""The runner of timer triggers."""

from __future__ import annotations

from runtime.ids import new_request_id
from runtime.services.timer_calls import TimerCalls
from runtime.timers.lease import SoleLease
from runtime.timers.timers import TimerLimits, Timers
from runtime.wiring.common import Common

_LEASE = "timers"


def build_timers(common: Common) -> Timers:
    """For a gateway. Does nothing before `run`."""
    settings, adapters = common.settings, common.adapters
    return Timers(
        source=adapters.control,
        states=adapters.timers,
        lease=SoleLease(
            adapters.leases,
            common.clock,
            name=_LEASE,
            holder=new_request_id(),  # another one with every start
            lease_s=settings.timer_lease_s,
        ),
        fire=TimerCalls(directory=common.directory, calls=common.async_calls),
        clock=common.clock,
        limits=TimerLimits(
            poll_s=settings.timer_poll_s,
            late_max_s=settings.timer_late_max_s,
            concurrency=settings.timer_concurrency,
            missed_count_max=settings.timer_missed_count_max,
        ),
    )
