"""One bind or run under way in a sandbox: its host, its time limit and its one ending."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from sandbox.api import Ending, InvocationHost, Limits
from sandbox.frames import Log
from sandbox.log_bounds import LogBounds

_log = structlog.get_logger(__name__)


class Attempt:
    """Ends exactly once; the first ending counts."""

    __slots__ = (
        "_cut_told",
        "_log_bounds",
        "_timer",
        "call_numbers",
        "calls",
        "ended",
        "host",
        "is_bind",
        "limit_s",
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
        self.ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._log_bounds = LogBounds(limits)
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
        """Hand the lines to the host, within the bounds."""
        lines, cut_here = self._log_bounds.admit(frame.lines)
        cut = (frame.cut or cut_here) and not self._cut_told
        if not lines and not cut:
            return
        self._cut_told |= cut
        try:
            self.host.on_log(lines, cut=cut)
        except Exception:  # noqa: BLE001 - the host's defect must not end the sandbox
            _log.exception("sandbox_log_lines_lost", request_id=self.request_id, lines=len(lines))
