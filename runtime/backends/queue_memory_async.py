"""Asynchronous jobs of the queue inside one process: a line in memory before the ledger, which keeps them.

A job's entry is written before `enqueue` returns, so that it survives a kill -9; the line only says whose
turn it is. When the program starts, the ledger fills the line: what was queued and what ran, the latter when
its lease ends. What did not fit then, and what is lost here, the sweeper enqueues again.

A job id is in the line at most once, whoever enqueues it how often.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field

import structlog

from runtime.errors import ConflictError, LineFullError, OverloadedError, UnavailableError
from runtime.messages import Job, JobState
from runtime.ports import AsyncDelivery, Clock, Ledger, LedgerQuery

_log = structlog.get_logger(__name__)

SPACES_SHARE = 4
"""One space may hold this part of the bytes, so that it keeps nobody else out."""
_LOAD_WAIT_MAX_S = 120.0
"""For a lease of a clock that was moved; a claim that comes too early is refused, no more."""
_WAITS = frozenset({JobState.QUEUED, JobState.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncLineBounds:
    """Of the jobs that wait, delayed ones included; those of one space; bytes of their arguments."""

    max_jobs: int
    max_jobs_per_space: int
    max_bytes: int


@dataclass(slots=True, eq=False)
class _Place:
    """A job in the line, or in a worker's hands (`taken`)."""

    job: Job
    kept: bool = False
    """The ledger has it."""
    taken: bool = False
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)
    """Set while it is delayed."""


class MemoryAsyncDelivery(AsyncDelivery):
    """See `AsyncDelivery`."""

    def __init__(self, place: _Place, line: AsyncLine) -> None:
        self.job = place.job
        self._place = place
        self._line = line

    async def acknowledge(self) -> None:
        self._line.forget(self._place)

    async def hand_back(self) -> None:
        self._line.put_back(self._place, delay_s=0.0)

    async def postpone(self, delay_s: float) -> None:
        self._line.put_back(self._place, delay_s=delay_s)


class AsyncLine:
    """The jobs that wait in this process. Spaces take turns."""

    def __init__(self, ledger: Ledger, bounds: AsyncLineBounds, clock: Clock) -> None:
        self._ledger = ledger
        self._bounds = bounds
        self._clock = clock
        self._places: dict[str, _Place] = {}
        """By job id: waiting, delayed and taken ones."""
        self._jobs: Counter[str] = Counter()
        """Not taken, by space; so the bytes."""
        self._bytes: Counter[str] = Counter()
        self._ready: OrderedDict[str, deque[_Place]] = OrderedDict()
        """By space, in the order of their turns."""
        self._takers: deque[asyncio.Future[_Place]] = deque()
        self._open = False
        self._loaded = False

    @property
    def waiting(self) -> int:
        """Jobs that nobody has taken, delayed ones included."""
        return self._jobs.total()

    async def open(self) -> None:
        """Let jobs in; the first time, load those that the ledger has. Raises UnavailableError."""
        if not self._loaded:
            await self._load()
            self._loaded = True
        self._open = True
        self._serve()

    def close(self) -> None:
        """Refuse what comes. What was taken and never settled waits again, as after a worker's death."""
        self._open = False
        for place in self._places.values():
            if place.timer is not None:  # no timer outlives the loop
                place.timer.cancel()
                self._due(place)
            elif place.taken:
                self._wait(place, delay_s=0.0)

    async def enqueue(self, job: Job, *, delay_s: float) -> None:
        """See `Queue.enqueue`."""
        if job.terms is None:
            raise ValueError(f"job {job.job_id} is synchronous: it has no terms")
        if not self._open:
            raise UnavailableError("the queue is closed; try again")
        there = self._places.get(job.job_id)
        if there is not None:  # its turn is coming
            if not there.kept:  # by another call, which may fail
                await self._keep(job)
            return
        self._check_room(job)
        place = _Place(job)
        self._places[job.job_id] = place
        self._count(place, 1)  # its room is taken before anything is promised
        try:
            place.kept = await self._keep(job)
        finally:
            self._count(place, -1)
            if place.kept:
                self._wait(place, delay_s=delay_s)
            else:
                del self._places[job.job_id]

    async def take(self) -> AsyncDelivery:
        """See `Queue.take_async`."""
        place = self._next()
        if place is None:
            taker: asyncio.Future[_Place] = asyncio.get_running_loop().create_future()
            self._takers.append(taker)
            try:
                place = await taker
            except asyncio.CancelledError:
                if taker.done() and not taker.cancelled():  # handed over in the same moment
                    self._wait(taker.result(), delay_s=0.0, first=True)
                raise
        return MemoryAsyncDelivery(place, self)

    def forget(self, place: _Place) -> None:
        """A taken job is settled. Nothing when it was taken away by `close`."""
        if place.taken and self._places.get(place.job.job_id) is place:
            del self._places[place.job.job_id]

    def put_back(self, place: _Place, *, delay_s: float) -> None:
        """A taken job waits again, at the head of its space's line. It is never refused."""
        if place.taken:
            self._wait(place, delay_s=delay_s, first=True)

    async def _load(self) -> None:
        query = LedgerQuery(states=_WAITS)
        entries, total = await self._ledger.find(query, offset=0, limit=self._bounds.max_jobs)
        left = total - len(entries)
        for entry in reversed(entries):  # oldest first
            try:
                self._check_room(entry.job)
            except OverloadedError:
                left += 1
                continue
            due_ms = entry.leased_until_ms or entry.not_before_ms or 0
            delay_s = (due_ms - self._clock.now_ms()) / 1000
            place = _Place(entry.job, kept=True)
            self._places[entry.job.job_id] = place
            self._wait(place, delay_s=min(delay_s, _LOAD_WAIT_MAX_S))
        if entries:
            _log.info("async_jobs_loaded", jobs=total - left, left_to_sweeper=left)

    async def _keep(self, job: Job) -> bool:
        """Whether the ledger has this job, and it is not over. Raises UnavailableError."""
        try:
            entry = await self._ledger.accept(job, now_ms=self._clock.now_ms())
        except ConflictError:  # dropped meanwhile
            return False
        # with an idempotency key the entry may be another job's, which has its own place
        return entry.job.job_id == job.job_id and not entry.state.terminal

    def _check_room(self, job: Job) -> None:
        space = job.space_id
        if self.waiting >= self._bounds.max_jobs:
            raise OverloadedError(
                f"{self.waiting} asynchronous jobs are waiting already"
                " (YUNHAN_ASYNC_MAX_JOBS); try again later"
            )
        if self._jobs[space] >= self._bounds.max_jobs_per_space:
            raise LineFullError(
                f"{self._jobs[space]} asynchronous jobs of space {space} are waiting already"
                " (YUNHAN_ASYNC_MAX_JOBS_PER_SPACE); try again later"
            )
        for held, most, error in (
            (self._bytes.total(), self._bounds.max_bytes, OverloadedError),
            (self._bytes[space], self._bounds.max_bytes // SPACES_SHARE, LineFullError),
        ):
            if held and held + len(job.args) > most:
                raise error(
                    f"the arguments of waiting asynchronous jobs have {held} bytes"
                    " (YUNHAN_QUEUE_MAX_BYTES); try again later"
                )

    def _wait(self, place: _Place, *, delay_s: float, first: bool = False) -> None:
        place.taken = False
        self._count(place, 1)
        if delay_s > 0:
            loop = asyncio.get_running_loop()
            place.timer = loop.call_later(delay_s, self._due, place)
        else:
            self._line_up(place, first=first)

    def _due(self, place: _Place) -> None:
        place.timer = None
        self._line_up(place, first=False)

    def _line_up(self, place: _Place, *, first: bool) -> None:
        line = self._ready.setdefault(place.job.space_id, deque())
        if first:
            line.appendleft(place)
        else:
            line.append(place)
        self._serve()

    def _serve(self) -> None:
        """Bring those who wait together with what waits."""
        while self._open and self._takers and self._ready:
            taker = self._takers.popleft()
            if not taker.done():
                place = self._next()
                assert place is not None
                taker.set_result(place)

    def _next(self) -> _Place | None:
        """The first job of the space whose turn it is; that space then goes to the end."""
        if not self._ready:
            return None
        space_id, line = self._ready.popitem(last=False)
        place = line.popleft()
        if line:
            self._ready[space_id] = line
        self._take(place)
        return place

    def _take(self, place: _Place) -> None:
        place.taken = True
        self._count(place, -1)

    def _count(self, place: _Place, change: int) -> None:
        space = place.job.space_id
        self._jobs[space] += change
        self._bytes[space] += change * len(place.job.args)
        if not self._jobs[space]:
            del self._jobs[space]
            del self._bytes[space]
