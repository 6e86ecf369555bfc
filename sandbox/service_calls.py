"""The service calls (`ctx.mpserverless`) that are under way in one sandbox."""

from __future__ import annotations

import asyncio

import structlog

from sandbox.answers import Answers
from sandbox.api import Limits
from sandbox.attempt import Attempt
from sandbox.call_budget import CallBudget, CallLine
from sandbox.channel import Channel
from sandbox.frames import UNGRANTED_MAX_BYTES, Call, FrameError, Grant, Reply, Reserve
from sandbox.json_text import dump_json

_log = structlog.get_logger(__name__)


class ServiceCalls:
    """Runs each call as a task of its attempt and answers it. At most `calls_in_flight_max`.

    A call counts until its reply is sent or its attempt ends; the sandbox counts the same way, but
    later (when it reads the one, before it reports the other), so an honest one stays below. The
    bytes of calls and answers are bounded as `sandbox.call_budget` says; short calls by their number.
    """

    def __init__(self, channel: Channel, limits: Limits, budget: CallBudget) -> None:
        self._channel = channel
        self._in_flight_max = limits.calls_in_flight_max
        self._call_max_bytes = limits.call_max_bytes
        self._share = budget.share(limits.calls_max_bytes, limits.calls_worker_max_bytes)
        self._answers = Answers(channel, self._share, max_bytes=limits.calls_max_bytes)
        self._numbers: set[int] = set()

    def reserve(self, attempt: Attempt, frame: Reserve) -> None:
        """Grants it, now or later. Raises FrameError as `begin` does, and for too long a call."""
        if frame.size > self._call_max_bytes:
            raise FrameError(
                "payload_too_long",
                f"a service call of {frame.size} bytes, the bound is {self._call_max_bytes}",
            )
        self._open(attempt, frame.call)
        if attempt.line is None:
            attempt.line = self._new_line(attempt)
        attempt.line.reserve(frame.call, frame.size)

    def bound(self, attempt: Attempt, number: int) -> int:
        """How long the parameters of a call may be that is about to come, in bytes."""
        granted = None if attempt.line is None else attempt.line.size_granted(number)
        if granted is None or number in attempt.calls_begun:
            return UNGRANTED_MAX_BYTES
        return granted

    def begin(self, attempt: Attempt, call: Call) -> None:
        """Its parameters are within `bound`. Raises FrameError for one call too many and for a number that is
        still in use."""
        granted = None if attempt.line is None else attempt.line.size_granted(call.call)
        if granted is None:
            self._open(attempt, call.call)
        elif call.call in attempt.calls_begun:
            raise _still_under_way(call.call)
        attempt.calls_begun.add(call.call)
        task = asyncio.get_running_loop().create_task(
            self._answer(attempt, call), name=f"service call {call.method} of {call.id}"
        )
        attempt.calls.add(task)
        task.add_done_callback(attempt.calls.discard)

    def end(self, attempt: Attempt) -> None:
        """Cancel the calls of an attempt that has ended. Idempotent."""
        self._numbers -= attempt.call_numbers
        attempt.call_numbers.clear()
        attempt.calls_begun.clear()
        for task in attempt.calls:
            task.cancel()
        if attempt.line is not None:
            attempt.line.close()

    def _open(self, attempt: Attempt, number: int) -> None:
        if len(self._numbers) >= self._in_flight_max:
            raise FrameError(
                "bad_state", f"more than {self._in_flight_max} service calls at the same time"
            )
        if number in self._numbers:
            raise _still_under_way(number)
        self._numbers.add(number)
        attempt.call_numbers.add(number)

    def _new_line(self, attempt: Attempt) -> CallLine:
        request_id = attempt.request_id
        return self._share.line(lambda call: self._channel.send(Grant(id=request_id, call=call)))

    async def _answer(self, attempt: Attempt, call: Call) -> None:
        request_id, number = call.id, call.call
        await self._answers.room()
        envelope = await _ask_host(attempt, call)
        del call  # its parameters are let go of with their bytes in the budget
        if attempt.line is not None:
            attempt.line.release(number)
        if len(envelope) > self._call_max_bytes:
            envelope = _failure(
                request_id,
                "ResponseContentLength.Exceeded",
                f"the answer has {len(envelope)} bytes, the limit is {self._call_max_bytes}",
            )

        if self._answers.refuses(envelope):
            envelope = _not_kept(request_id, len(envelope))

        def close() -> bool:
            """Before sending, while the call still counts: what a sandbox does not read is bounded too."""
            if attempt.ended.done():
                return False
            self._numbers.discard(number)
            attempt.call_numbers.discard(number)
            attempt.calls_begun.discard(number)
            return True

        reply = Reply(id=request_id, call=number, envelope=envelope)
        await self._answers.send(reply, before=close)


async def _ask_host(attempt: Attempt, call: Call) -> bytes:
    try:
        return await attempt.host.on_call(call.method, call.params, user_id=call.user_id)
    except Exception:  # noqa: BLE001 - the host's defect; the function gets an answer
        _log.exception("sandbox_call_failed", request_id=call.id, method=call.method)
        return _failure(call.id, "InternalServerError", "the service call failed")


def _still_under_way(number: int) -> FrameError:
    return FrameError("bad_state", f"service call {number} is still under way")


def _not_kept(request_id: str, size: int) -> bytes:
    return _failure(
        request_id,
        "Throttling.Api.Concurrency",
        f"the answer of {size} bytes was dropped: too many answers wait until this function reads them;"
        " await some calls before you make more",
    )


def _failure(request_id: str, code: str, message: str) -> bytes:
    return dump_json(
        {"success": False, "error": {"code": code, "message": message}, "requestId": request_id}
    )
