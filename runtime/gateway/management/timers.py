"""Our own action on the timers of a space; the original shows no next or missed ticks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.gateway.management.answers import iso
from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.parameters import Parameters
from runtime.services.timers import TimerView

NEXT_DEFAULT = 3
NEXT_MAX = 100


async def yunhan_list_timers(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """By function; `Next` is how many next ticks of each are told. Counts are since the timer was set."""
    count = parameters.integer("Next", lowest=1, highest=NEXT_MAX)
    name = parameters.text("Name")
    timers = await deps.timers.timers(
        parameters.needed("SpaceId"), next_count=NEXT_DEFAULT if count is None else count
    )
    return {"Timers": [_row(each) for each in timers if not name or each.function.name == name]}


def _row(timer: TimerView) -> dict[str, Any]:
    function, state = timer.function, timer.state
    row: dict[str, Any] = {
        "Name": function.name,
        "TimingTriggerConfig": function.timer_cron,
        "TimingTriggerUserPayload": function.timer_payload,
        "SetAt": iso(function.timer_set_ms),
        "Deployed": function.live_deployment_id is not None,
        "Next": [iso(each) for each in timer.next_ms],
        "Fired": state.fired if state else 0,
        "Missed": state.missed if state else 0,
        "Skipped": state.skipped if state else 0,
    }
    if state is not None and state.fired_ms is not None:
        row |= {"LastTick": iso(state.fired_ms), "LastJobId": state.job_id}
    return row


ACTIONS = {"YunhanListTimers": yunhan_list_timers}
