"""The attempts under way in one sandbox, and what the sandbox's frames mean to them."""

from __future__ import annotations

from sandbox import endings
from sandbox.api import Ending, LogLine, OutcomeKind, Usage
from sandbox.attempt import Attempt
from sandbox.frames import Bound, Call, Frame, FrameError, Log, Result
from sandbox.json_text import JsonDepthError, JsonError, check_json
from sandbox.service_calls import ServiceCalls

# Frames for invocations that have ended are harmless leftovers, but no honest sandbox sends so many.
STRAY_FRAMES_MAX = 10_000


class Attempts:
    """All binds and runs under way, by request id."""

    def __init__(self, calls: ServiceCalls) -> None:
        self._calls = calls
        self._under_way: dict[str, Attempt] = {}
        self.stray_frames = 0
        """Frames that came for no attempt under way, and were ignored."""

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._under_way

    def begin(self, attempt: Attempt) -> None:
        self._under_way[attempt.request_id] = attempt

    def end(self, attempt: Attempt, ending: Ending) -> None:
        """Idempotent: the first ending of an attempt counts."""
        self._under_way.pop(attempt.request_id, None)
        attempt.end(ending)
        if attempt.calls:
            self._calls.end(attempt)

    def end_all(self, ending: Ending) -> None:
        for attempt in list(self._under_way.values()):
            self.end(attempt, ending)

    def run_with_id(self, request_id: object) -> Attempt | None:
        """The run under way with this id; `request_id` may be anything a sandbox sent."""
        attempt = self._under_way.get(request_id) if isinstance(request_id, str) else None
        return None if attempt is None or attempt.is_bind else attempt

    def note(self, line: LogLine) -> None:
        """A line of ours, in the log of every attempt under way."""
        for attempt in self._under_way.values():
            attempt.log(Log(id=attempt.request_id, cut=False, lines=(line,)))

    def on_frame(self, frame: Frame) -> None:
        """Raises FrameError for a frame that does not fit the state."""
        if type(frame) is Result:
            self._on_result(frame)
        elif type(frame) is Log:
            self._on_log(frame)
        elif type(frame) is Call:
            self._on_call(frame)
        elif type(frame) is Bound:
            self._on_bound(frame)
        else:
            raise FrameError("bad_state", f"an unexpected {type(frame).__name__.lower()} frame")

    def _on_bound(self, frame: Bound) -> None:
        attempt = self._under_way.get(frame.id)
        if attempt is None or not attempt.is_bind:
            raise FrameError("bad_state", "a bound frame, but no bind is under way")
        usage = Usage(run_ms=frame.load_ms)
        if frame.fault is None:
            ending = Ending(kind=OutcomeKind.OK, usage=usage)
        else:
            kind = OutcomeKind.FUNCTION_ERROR
            ending = Ending(kind=kind, fault=frame.fault, usage=usage, reusable=False)
        self.end(attempt, ending)

    def _on_result(self, frame: Result) -> None:
        attempt = self.run_with_id(frame.id)
        if attempt is None:
            # A run ends by its result or with its sandbox, so this is a second result.
            raise FrameError("bad_state", "a result for an invocation that is not under way")
        self.end(attempt, _ending_of(frame))

    def _on_log(self, frame: Log) -> None:
        attempt = self._under_way.get(frame.id)
        if attempt is None:
            self._count_stray()
        else:
            attempt.log(frame)

    def _on_call(self, frame: Call) -> None:
        attempt = self._under_way.get(frame.id)
        if attempt is None:
            self._count_stray()
        elif attempt.is_bind:
            raise FrameError("bad_state", "a service call before the function runs")
        else:
            self._calls.begin(attempt, frame)

    def _count_stray(self) -> None:
        self.stray_frames += 1
        if self.stray_frames > STRAY_FRAMES_MAX:
            raise FrameError("bad_state", "too many frames for ended invocations")


def _ending_of(frame: Result) -> Ending:
    value: bytes | None = None
    if frame.kind is OutcomeKind.OK:
        value = frame.value
        try:
            check_json(value)
        except JsonDepthError:
            return endings.result_too_deep(reusable=not frame.recycle)
        except JsonError as error:
            raise FrameError("bad_payload", f"the result is not JSON: {error}") from error
    return Ending(
        kind=frame.kind,
        value=value,
        fault=frame.fault,
        usage=frame.usage,
        reusable=not frame.recycle,
    )
