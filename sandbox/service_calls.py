"""The service calls (`ctx.mpserverless`) that are under way in one sandbox."""

from __future__ import annotations

import asyncio

import structlog

from sandbox.api import Limits
from sandbox.attempt import Attempt
from sandbox.channel import Channel
from sandbox.frames import Call, FrameError, Reply
from sandbox.json_text import dump_json

_log = structlog.get_logger(__name__)


class ServiceCalls:
    """Runs each call as a task of its attempt and answers it. At most `calls_in_flight_max`.

    A call counts until its reply is sent or its attempt ends; the sandbox counts the same way, but
    later (when it reads the one, before it reports the other), so an honest one stays below.
    """

    def __init__(self, channel: Channel, limits: Limits) -> None:
        self._channel = channel
        self._in_flight_max = limits.calls_in_flight_max
        self._reply_max_bytes = limits.call_max_bytes
        self._numbers: set[int] = set()

    def begin(self, attempt: Attempt, call: Call) -> None:
        """Raises FrameError for one call too many and for a number that is still in use."""
        if len(self._numbers) >= self._in_flight_max:
            raise FrameError(
                "bad_state", f"more than {self._in_flight_max} service calls at the same time"
            )
        if call.call in self._numbers:
            raise FrameError("bad_state", f"service call {call.call} is still under way")
        self._numbers.add(call.call)
        attempt.call_numbers.add(call.call)
        task = asyncio.get_running_loop().create_task(
            self._answer(attempt, call), name=f"service call {call.method} of {call.id}"
        )
        attempt.calls.add(task)
        task.add_done_callback(attempt.calls.discard)

    def end(self, attempt: Attempt) -> None:
        """Cancel the calls of an attempt that has ended. Idempotent."""
        self._numbers -= attempt.call_numbers
        attempt.call_numbers.clear()
        for task in attempt.calls:
            task.cancel()

    async def _answer(self, attempt: Attempt, call: Call) -> None:
        try:
            envelope = await attempt.host.on_call(call.method, call.params, user_id=call.user_id)
        except Exception:  # noqa: BLE001 - the host's defect; the function gets an answer
            _log.exception("sandbox_call_failed", request_id=call.id, method=call.method)
            envelope = _failure(call.id, "InternalServerError", "the service call failed")
        if len(envelope) > self._reply_max_bytes:
            envelope = _failure(
                call.id,
                "ResponseContentLength.Exceeded",
                f"the answer has {len(envelope)} bytes, the limit is {self._reply_max_bytes}",
            )
        # Before sending, while the call still counts: what a sandbox does not read is bounded too.
        await self._channel.drain()
        if not attempt.ended.done():
            self._channel.send(Reply(id=call.id, call=call.call, envelope=envelope))
            self._numbers.discard(call.call)
            attempt.call_numbers.discard(call.call)


def _failure(request_id: str, code: str, message: str) -> bytes:
    return dump_json(
        {"success": False, "error": {"code": code, "message": message}, "requestId": request_id}
    )
