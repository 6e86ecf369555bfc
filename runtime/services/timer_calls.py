"""A tick of a timer as an asynchronous job: what the function gets (spec: functions (d))."""

from __future__ import annotations

import orjson

from runtime.ids import new_request_id
from runtime.messages import Source
from runtime.ports import Timer
from runtime.services.directory import SpaceDirectory
from runtime.services.interfaces import AsyncInvoker
from runtime.timers.schedule import utc_text
from runtime.timers.timers import NotYetKnownError

TRIGGER_NAME = "timer"
"""`ctx.args.triggerName`: functions test that there is one to see that a timer called them."""


class TimerCalls:
    """Implements `runtime.timers.timers.Fire`."""

    def __init__(self, *, directory: SpaceDirectory, calls: AsyncInvoker) -> None:
        self._directory = directory
        self._calls = calls

    async def __call__(self, timer: Timer, tick_ms: int) -> str:
        """The job of this tick; see `Fire`."""
        space = await self._directory.get(timer.space_id)
        function = space.functions.get(timer.function)
        if function is None or (function.timer_cron, function.timer_set_ms) != (
            timer.cron,
            timer.set_ms,
        ):
            raise NotYetKnownError
        time = utc_text(tick_ms)
        accepted = await self._calls.submit(
            timer.space_id,
            timer.function,
            orjson.dumps(
                {
                    "userPayload": function.timer_payload,
                    "triggerTime": time,
                    "triggerName": TRIGGER_NAME,
                }
            ),
            source=Source.TIMING,
            request_id=new_request_id(),
            # Blanks keep it apart from the keys of callers, who may use none.
            idempotency_key=f"timer {timer.function} {time}",
        )
        return accepted.job_id
