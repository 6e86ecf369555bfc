"""A worker tells the others that it is there; gateways ask who is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from runtime.errors import YunhanError
from runtime.ports import Clock, WorkerFacts, WorkerRoster

_log = structlog.get_logger(__name__)

_EVERY_S = 20.0
_SEEN_MS = 60_000
"""Whoever was not seen for so long is not there any more."""
_FORGOTTEN_MS = 24 * 3600 * 1000


class Presence:
    """Of one worker. `run` as long as it takes jobs."""

    def __init__(self, roster: WorkerRoster, facts: WorkerFacts, clock: Clock) -> None:
        self._roster = roster
        self._facts = facts
        self._clock = clock

    async def tell(self) -> None:
        """Once. Raises UnavailableError."""
        await self._roster.tell(replace(self._facts, seen_ms=self._clock.now_ms()))

    async def leave(self) -> None:
        """At the end; takes those along that were killed long ago. Never raises but for cancellation."""
        before_ms = self._clock.now_ms() - _FORGOTTEN_MS
        try:
            await self._roster.leave(self._facts.worker_id, unseen_before_ms=before_ms)
        except YunhanError as error:
            _log.warning("worker_not_forgotten", error=str(error))

    async def run(self) -> None:
        """For ever. A database that does not answer is tried again."""
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.tell()
            except YunhanError as error:
                _log.warning("worker_not_told", error=str(error))


class WorkersSeen:
    """Whether any worker is there, for a gateway without one of its own: followed by a poll, so that to ask
    costs nothing."""

    def __init__(self, roster: WorkerRoster, clock: Clock) -> None:
        self._roster = roster
        self._clock = clock
        self._seen_ms = clock.now_ms() - _SEEN_MS
        self._nobody = False

    async def poll(self) -> None:
        """Once. Raises UnavailableError."""
        workers = await present_workers(self._roster, self._clock)
        self._seen_ms = max([self._seen_ms, *(worker.seen_ms for worker in workers)])
        self._nobody = not workers

    async def run(self, every_s: float) -> None:
        """For ever. While the database does not answer nothing is said of workers: `documents` says it."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.poll()
            except YunhanError as error:
                self._nobody = False
                _log.warning("workers_not_followed", error=str(error))

    async def tell_problem(self) -> str | None:
        """None while there is one, as far as the last poll knows."""
        if not self._nobody:
            return None
        since = datetime.fromtimestamp(self._seen_ms // 1000, UTC)
        return (
            f"no worker has reported since {since:%Y-%m-%dT%H:%M:%SZ}: calls wait for one and end as expired"
            " or refused; start `yunhan worker`, or see its log"
        )


async def present_workers(roster: WorkerRoster, clock: Clock) -> Sequence[WorkerFacts]:
    """Those seen a moment ago. Clocks of machines may differ by some seconds. Raises UnavailableError."""
    return await roster.present(since_ms=clock.now_ms() - _SEEN_MS)
