"""When a sandbox rests: what a function left running does not go on while none of its invocations does."""

from __future__ import annotations

import asyncio

from sandbox.handle import ProcessHandle

# A process that was being started during one look is found by the next. And the kernel's lists of children
# may miss one that is there while others come and go: only what is quiet twice is at rest.
_LOOK_AGAIN_S = 0.05
_LOOKS_MAX = 8
_QUIET_LOOKS = 2


class Pausing:
    """Pauses the processes behind `handle` once nothing was under way for `after_s` seconds.

    Not at once: a busy sandbox would be stopped and continued at every call.
    """

    def __init__(self, handle: ProcessHandle, *, after_s: float) -> None:
        self._handle = handle
        self._after_s = after_s
        self._under_way = 0
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._closed = False

    @property
    def paused(self) -> bool:
        return self._paused

    def begin(self) -> None:
        """An invocation begins; whatever was paused goes on from here. Paired with `end`."""
        self._under_way += 1
        self._cancel_timer()
        if self._paused:
            self._paused = False
            self._handle.resume()

    def end(self) -> None:
        """An invocation has ended: its result and its log lines are delivered."""
        self._under_way -= 1
        if not self._under_way and not self._closed:
            self._wait(self._after_s, _LOOKS_MAX, _QUIET_LOOKS)

    def close(self) -> None:
        """The sandbox is at its end: pause no more. Idempotent; what is paused stays so."""
        self._closed = True
        self._cancel_timer()

    def _wait(self, delay_s: float, looks: int, quiet: int) -> None:
        """At most `looks` looks from then on, `quiet` of them in a row without anything that ran."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(delay_s, self._pause, looks, quiet)

    def _pause(self, looks: int, quiet: int) -> None:
        self._timer = None
        self._paused = True
        quiet = _QUIET_LOOKS if self._handle.pause() else quiet - 1
        if quiet > 0 and looks > 1:
            self._wait(_LOOK_AGAIN_S, looks - 1, quiet)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
