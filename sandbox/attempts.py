"""The attempts under way in one sandbox, and what the sandbox's frames mean to them."""

from __future__ import annotations

import signal
from dataclasses import replace

from sandbox import endings
from sandbox.api import Ending, LogLine, OutcomeKind, Usage
from sandbox.attempt import Attempt
from sandbox.frames import (
    UNGRANTED_MAX_BYTES,
    Bound,
    Call,
    Exiting,
    Frame,
    FrameError,
    Log,
    Reserve,
    Result,
)
from sandbox.handle import SIGNAL_BASE, Exit
from sandbox.json_text import JsonDepthError, JsonError, check_json
from sandbox.service_calls import ServiceCalls

# Frames for invocations that have ended and the like are harmless, but no honest sandbox sends so many.
STRAY_FRAMES_MAX = 10_000


class Attempts:
    """All binds and runs under way, by request id."""

    def __init__(self, calls: ServiceCalls) -> None:
        self._calls = calls
        self._under_way: dict[str, Attempt] = {}
        self.stray_frames = 0
        """Frames for no attempt under way, which were ignored, and ends that were announced again."""
        self._exiting: Exiting | None = None
        self._broken: str | None = None
        """Whose result, the last one, said that the process must not go on."""

    def __len__(self) -> int:
        return len(self._under_way)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._under_way

    def begin(self, attempt: Attempt) -> None:
        if not self._under_way:
            self._exiting = None  # what was said before is not about this one
        self._under_way[attempt.request_id] = attempt

    def end(self, attempt: Attempt, ending: Ending) -> None:
        """Idempotent: the first ending of an attempt counts."""
        self._under_way.pop(attempt.request_id, None)
        attempt.end(ending)
        if attempt.calls or attempt.line is not None:
            self._calls.end(attempt)

    def end_all(self, ending: Ending) -> None:
        for attempt in list(self._under_way.values()):
            self.end(attempt, ending)

    def end_with_process(self, exit_: Exit, memory_mb: int) -> None:
        """The process is gone: that is the ending of the one whose code ended it, and the loss of the others.

        When it is not known who that was, as after a crash or for want of memory, it is the ending of all.
        Code can lie about whose it was, but not about how the process ended: an invocation that is alone in
        its sandbox ends like that whatever it said.
        """
        exiting = self._exiting
        if exiting is None or not _fits(exiting, exit_):
            self.end_all(endings.process_gone(exit_, memory_mb))
            return
        if exit_.signal is not None and exiting.code is not None:
            # What stands between told an exit code as a signal.
            exit_ = replace(exit_, code=exiting.code, signal=None)
        ending = endings.process_gone(exit_, memory_mb)
        culprit = None if exiting.id is None else self._under_way.get(exiting.id)
        if culprit is not None:
            self.end(culprit, ending)
        if culprit is not None or (exiting.id is not None and exiting.id == self._broken):
            ending = endings.lost("code of another invocation in it ended its process")
        self.end_all(ending)

    def call_bound(self, request_id: object, number: object) -> int:
        """How long the parameters of a call may be that is about to come, in bytes; both may be anything."""
        attempt = self.run_with_id(request_id)
        if attempt is None or type(number) is not int:
            return UNGRANTED_MAX_BYTES
        return self._calls.bound(attempt, number)

    def run_with_id(self, request_id: object) -> Attempt | None:
        """The run under way with this id; `request_id` may be anything a sandbox sent."""
        attempt = self._under_way.get(request_id) if isinstance(request_id, str) else None
        return None if attempt is None or attempt.is_bind else attempt

    def note(self, line: LogLine) -> None:
        """A line of ours, in the log of every attempt under way."""
        for attempt in self._under_way.values():
            attempt.note(line)

    def on_frame(self, frame: Frame) -> None:
        """Raises FrameError for a frame that does not fit the state."""
        if type(frame) is Result:
            self._on_result(frame)
        elif type(frame) is Log:
            self._on_log(frame)
        elif type(frame) is Call or type(frame) is Reserve:
            self._on_call(frame)
        elif type(frame) is Exiting:
            self._on_exiting(frame)
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
        self._exiting = None  # it goes on after all: somebody called its listeners
        self._broken = frame.id if frame.recycle else None
        self.end(attempt, _ending_of(frame))

    def _on_exiting(self, frame: Exiting) -> None:
        if self._exiting is not None:
            self._count_stray()
        self._exiting = frame

    def _on_log(self, frame: Log) -> None:
        attempt = self._under_way.get(frame.id)
        if attempt is None:
            self._count_stray()
        else:
            attempt.log(frame)

    def _on_call(self, frame: Call | Reserve) -> None:
        attempt = self._under_way.get(frame.id)
        if attempt is None:
            self._count_stray()
        elif attempt.is_bind:
            raise FrameError("bad_state", "a service call before the function runs")
        elif type(frame) is Reserve:
            self._calls.reserve(attempt, frame)
        elif type(frame) is Call:
            self._calls.begin(attempt, frame)

    def _count_stray(self) -> None:
        self.stray_frames += 1
        if self.stray_frames > STRAY_FRAMES_MAX:
            raise FrameError("bad_state", "too many frames that mean nothing")


def _fits(exiting: Exiting, exit_: Exit) -> bool:
    """Whether the process ended as it said. Any code in it can say anything: what the worker saw counts."""
    if endings.is_out_of_memory(exit_):
        return False
    if exiting.code is None:
        return exit_.signal == signal.SIGABRT
    if exit_.signal is None:
        return exiting.code == exit_.code
    return exiting.code == SIGNAL_BASE + exit_.signal


def _ending_of(frame: Result) -> Ending:
    value: bytes | None = None
    if frame.kind is OutcomeKind.OK:
        value = frame.value
        try:
            check_json(value)
        except JsonDepthError:
            return endings.result_too_deep(frame.usage, reusable=not frame.recycle)
        except JsonError as error:
            raise FrameError("bad_payload", f"the result is not JSON: {error}") from error
    return Ending(
        kind=frame.kind,
        value=value,
        fault=frame.fault,
        usage=frame.usage,
        reusable=not frame.recycle,
    )
