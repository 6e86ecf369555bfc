"""Queue adapter inside one process. Spaces take turns, so that a busy one does not delay the others.
Asynchronous jobs: `queue_memory_async`.

A job is in exactly one state: waiting (in its space's line), taken (in a worker's hands) or done
(its caller has the outcome, or is gone).
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from runtime.backends.queue_memory_async import SPACES_SHARE, AsyncLine
from runtime.errors import OverloadedError, UnavailableError
from runtime.jobs.endings import expired_call
from runtime.messages import Job, Outcome
from runtime.ports import AsyncDelivery, Clock, Delivery, Queue


class MemoryDelivery(Delivery):
    """One queued job, from acceptance to its outcome."""

    __slots__ = ("_answer", "_queue", "entered", "expiry", "job", "taken", "waited_ms")

    def __init__(self, job: Job, queue: MemoryQueue, answer: asyncio.Future[Outcome]) -> None:
        self.job = job
        self.waited_ms = 0.0
        self.entered = queue.clock.monotonic()
        self.taken = False
        self.expiry: asyncio.TimerHandle | None = None
        self._queue = queue
        self._answer = answer

    async def finish(self, outcome: Outcome) -> None:
        self.settle(outcome)

    async def hand_back(self) -> None:
        self._queue.return_to_line(self)

    def settle(self, outcome: Outcome) -> None:
        if self.expiry is not None:
            self.expiry.cancel()
        if not self._answer.done():  # the caller may have given up
            self._answer.set_result(outcome)

    def fail(self, error: Exception) -> None:
        if self.expiry is not None:
            self.expiry.cancel()
        if not self._answer.done():
            self._answer.set_exception(error)


class MemoryQueue(Queue):
    """See `Queue`. `max_jobs` bounds the waiting jobs, `max_jobs_per_space` those of one space, so that a
    busy space is refused before it keeps the others out; taken ones are bounded by the workers' slots.
    `max_bytes` bounds the arguments of the waiting jobs; one space may have a quarter of them.

    `line` holds the asynchronous jobs; without one they are refused. `waiting` counts them, too; `wait_empty`
    does not wait for them: they are in the ledger and outlive the program."""

    def __init__(
        self,
        *,
        max_jobs: int,
        max_jobs_per_space: int,
        max_bytes: int,
        clock: Clock,
        line: AsyncLine | None = None,
    ) -> None:
        self.clock = clock
        self._line = line
        self._max_bytes = max_bytes
        self._bytes: Counter[str] = Counter()
        """Of the waiting jobs' arguments, by space."""
        self._bytes_total = 0
        self._max_jobs = max_jobs
        self._max_jobs_per_space = max_jobs_per_space
        self._lines: OrderedDict[str, deque[MemoryDelivery]] = OrderedDict()
        self._waiting = 0
        self._takers: deque[asyncio.Future[MemoryDelivery]] = deque()
        self._unfinished: set[MemoryDelivery] = set()
        self._open = False
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def keeps_jobs(self) -> bool:
        return False

    @property
    def waiting(self) -> int:
        return self._waiting + (0 if self._line is None else self._line.waiting)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        if self._line is not None:
            await self._line.open()
        self._open = True
        try:
            yield
        finally:
            self._open = False
            if self._line is not None:
                self._line.close()
            for delivery in list(self._unfinished):
                delivery.fail(UnavailableError("the queue was closed; try again"))

    async def call(self, job: Job) -> Outcome:
        if not self._open:
            raise UnavailableError("the queue is closed; try again")
        if self._waiting >= self._max_jobs:
            raise OverloadedError(
                f"{self._waiting} calls are waiting already (YUNHAN_QUEUE_MAX_JOBS); try again later"
            )
        line = self._lines.get(job.space_id)
        if line is not None and len(line) >= self._max_jobs_per_space:
            raise OverloadedError(
                f"{len(line)} calls of space {job.space_id} are waiting already"
                " (YUNHAN_QUEUE_MAX_JOBS_PER_SPACE); try again later"
            )
        self._check_bytes(job)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()
        delivery = MemoryDelivery(job, self, answer)
        self._unfinished.add(delivery)
        try:
            taker = self._next_taker()
            if taker is not None:
                delivery.taken = True
                taker.set_result(delivery)
            else:
                delivery.expiry = loop.call_later(job.wait_ms / 1000, self._expire, delivery)
                self._append(delivery)
            return await answer
        finally:
            self._unfinished.discard(delivery)
            if not delivery.taken:  # the caller gave up: nobody shall run it
                self._remove(delivery)

    def _check_bytes(self, job: Job) -> None:
        """A job that waits alone is never too large."""
        size = len(job.args)
        for held, most in (
            (self._bytes_total, self._max_bytes),
            (self._bytes[job.space_id], self._max_bytes // SPACES_SHARE),
        ):
            if held and held + size > most:
                raise OverloadedError(
                    f"the arguments of waiting calls have {held} bytes (YUNHAN_QUEUE_MAX_BYTES);"
                    " try again later"
                )

    async def take(self) -> Delivery:
        delivery = self._pop()
        if delivery is None:
            taker: asyncio.Future[MemoryDelivery] = asyncio.get_running_loop().create_future()
            self._takers.append(taker)
            try:
                delivery = await taker
            except asyncio.CancelledError:
                if taker.done() and not taker.cancelled():  # handed over in the same moment
                    self.return_to_line(taker.result())
                raise
        delivery.waited_ms = (self.clock.monotonic() - delivery.entered) * 1000
        return delivery

    async def enqueue(self, job: Job, *, delay_s: float = 0.0) -> None:
        await self._async_line().enqueue(job, delay_s=delay_s)

    async def take_async(self) -> AsyncDelivery:
        return await self._async_line().take()

    def _async_line(self) -> AsyncLine:
        if self._line is None:
            raise UnavailableError("this queue takes no asynchronous jobs: it has no ledger")
        return self._line

    async def wait_empty(self) -> None:
        await self._empty.wait()

    def return_to_line(self, delivery: MemoryDelivery) -> None:
        """A taken job that was not started goes to the head of its line."""
        delivery.taken = False
        waited_ms = (self.clock.monotonic() - delivery.entered) * 1000
        if waited_ms >= delivery.job.wait_ms:
            self._expire_now(delivery)
            return
        taker = self._next_taker()
        if taker is not None:
            delivery.taken = True
            taker.set_result(delivery)
            return
        if delivery.expiry is None:
            delay_s = (delivery.job.wait_ms - waited_ms) / 1000
            delivery.expiry = asyncio.get_running_loop().call_later(delay_s, self._expire, delivery)
        self._append(delivery, first=True)

    def _append(self, delivery: MemoryDelivery, *, first: bool = False) -> None:
        line = self._lines.setdefault(delivery.job.space_id, deque())
        if first:
            line.appendleft(delivery)
        else:
            line.append(delivery)
        self._waiting += 1
        self._bytes[delivery.job.space_id] += len(delivery.job.args)
        self._bytes_total += len(delivery.job.args)
        self._empty.clear()

    def _one_less(self, job: Job) -> None:
        self._waiting -= 1
        self._bytes_total -= len(job.args)
        self._bytes[job.space_id] -= len(job.args)
        if not self._bytes[job.space_id]:
            del self._bytes[job.space_id]
        if self._waiting == 0:
            self._empty.set()

    def _pop(self) -> MemoryDelivery | None:
        """The first job of the space whose turn it is; that space then goes to the end."""
        if not self._lines:
            return None
        space_id, line = self._lines.popitem(last=False)
        delivery = line.popleft()
        if line:
            self._lines[space_id] = line
        self._one_less(delivery.job)
        delivery.taken = True
        return delivery

    def _remove(self, delivery: MemoryDelivery) -> None:
        if delivery.expiry is not None:
            delivery.expiry.cancel()
        line = self._lines.get(delivery.job.space_id)
        if line is None or delivery not in line:
            return
        line.remove(delivery)
        self._one_less(delivery.job)
        if not line:
            del self._lines[delivery.job.space_id]

    def _next_taker(self) -> asyncio.Future[MemoryDelivery] | None:
        while self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                return taker
        return None

    def _expire(self, delivery: MemoryDelivery) -> None:
        if delivery.taken:
            return
        self._remove(delivery)
        self._expire_now(delivery)

    def _expire_now(self, delivery: MemoryDelivery) -> None:
        delivery.settle(expired_call(delivery.job))
