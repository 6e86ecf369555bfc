"""One bind or run under way in a sandbox: its host, its time limit and its one ending."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from sandbox.api import Ending, InvocationHost, Limits, LogLine
from sandbox.call_budget import CallLine
from sandbox.frames import FrameError, Log
from sandbox.log_bounds import LogBounds
from sandbox.log_lines import read_log_lines

_log = structlog.get_logger(__name__)

# Each frame of an honest sandbox has at least one line that fits, but for the one that tells of the cut; the
# rest is for a bootstrap that counts a little differently.
_LOG_FRAMES_SPARE = 100


class Attempt:
    """Ends exactly once; the first ending counts."""

    __slots__ = (
        "_cut_told",
        "_log_bounds",
        "_log_frames_left",
        "_timer",
        "call_numbers",
        "calls",
        "calls_begun",
        "ended",
        "host",
        "is_bind",
        "limit_s",
        "line",
        "request_id",
    )

    def __init__(
        self,
        request_id: str,
        host: InvocationHost,
        limits: Limits,
        *,
        limit_s: float,
        is_bind: bool = False,
    ) -> None:
        self.request_id = request_id
        self.host = host
        self.limit_s = limit_s
        self.is_bind = is_bind
        self.calls: set[asyncio.Task[None]] = set()
        self.call_numbers: set[int] = set()
        """Of calls that were reserved or begun, and are not over."""
        self.calls_begun: set[int] = set()
        self.line: CallLine | None = None
        """Its long calls, when it has made one."""
        self.ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._log_bounds = LogBounds(limits)
        self._log_frames_left = limits.log_lines_max + _LOG_FRAMES_SPARE
        self._cut_told = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self, on_time_limit: Callable[[Attempt], None]) -> None:
        """Start the clock: `on_time_limit` is called unless this ends before."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self.limit_s, on_time_limit, self)

    def end(self, ending: Ending) -> None:
        """Settle the ending and stop the clock."""
        if not self.ended.done():
            self.ended.set_result(ending)
        if self._timer is not None:
            self._timer.cancel()

    def log(self, frame: Log) -> None:
        """Hand the lines to the host, within the bounds; beyond them they are not even read.

        Raises FrameError for what are no lines, and for more frames than an honest sandbox sends."""
        self._log_frames_left -= 1
        if self._log_frames_left < 0:
            raise FrameError("bad_state", "more log frames than the log may have lines")
        if not self._log_bounds.closed:
            self._hand_over(read_log_lines(frame.lines, self._log_bounds.lines_wanted), frame.cut)
        elif frame.cut:
            self._hand_over((), frame.cut)

    def note(self, line: LogLine) -> None:
        """A line of ours, within the same bounds."""
        self._hand_over((line,), cut=False)

    def _hand_over(self, given: Sequence[LogLine], cut: bool) -> None:  # noqa: FBT001
        lines, cut_here = self._log_bounds.admit(given)
        cut = (cut or cut_here) and not self._cut_told
        if not lines and not cut:
            return
        self._cut_told |= cut
        try:
            self.host.on_log(lines, cut=cut)
        except Exception:  # noqa: BLE001 - the host's defect must not end the sandbox
            _log.exception("sandbox_log_lines_lost", request_id=self.request_id, lines=len(lines))
