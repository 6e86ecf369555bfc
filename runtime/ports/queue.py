"""Carries jobs to workers."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager

from runtime.messages import Job, Outcome


class Delivery(ABC):
    """One job in a worker's hands. Exactly one of `finish` and `hand_back` is called, once."""

    job: Job
    waited_ms: float
    """How long the job waited in the queue."""

    @abstractmethod
    async def finish(self, outcome: Outcome) -> None:
        """Give the outcome to the caller, then acknowledge. The caller may be gone: no error."""

    @abstractmethod
    async def hand_back(self) -> None:
        """Return a job that was not started; another worker takes it, its wait goes on."""


class AsyncDelivery(ABC):
    """One asynchronous job in a worker's hands. Exactly one of the methods is called, once.

    Until then the queue keeps the job: a worker that dies loses nothing, another one gets it."""

    job: Job

    @abstractmethod
    async def acknowledge(self) -> None:
        """The ledger has it from here on (claimed, or known to be over): the queue forgets it."""

    @abstractmethod
    async def hand_back(self) -> None:
        """Not started: put it back into the queue, then forget this delivery. No attempt is spent."""

    @abstractmethod
    async def postpone(self, delay_s: float) -> None:
        """Over a quota, or the ledger does not answer: as `hand_back`, but not before `delay_s`."""

    restarts: int = 0
    """Of `Queue.take_dead`: how often this job was put into the queue anew."""

    async def restart(self) -> None:
        """Of `Queue.take_dead`: put it into the queue anew, for workers, and count that. Here: the same as
        `hand_back`."""
        await self.hand_back()


class Queue(ABC):
    """Carries jobs to workers: synchronous ones and their outcomes back (at most once), asynchronous ones
    until a worker acknowledges them (at least once)."""

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[None]:
        """Connect; on exit every waiting caller gets `UnavailableError`."""

    @abstractmethod
    async def call(self, job: Job) -> Outcome:
        """Queue a job and wait for its outcome.

        Raises OverloadedError at once when the queue is full, UnavailableError when it is closed.
        A job that was not taken within `job.wait_ms` comes back `expired` and is never run.
        Cancellation gives up waiting; a job that a worker already took runs to its end.
        """

    @abstractmethod
    async def take(self) -> Delivery:
        """Wait for the next job. Call it only with a free slot in hand. Safe to cancel: a job is
        either in the returned delivery or still in the queue."""

    @abstractmethod
    async def enqueue(self, job: Job, *, delay_s: float = 0.0) -> None:
        """Accept an asynchronous job (`job.terms`). When this returns, the job survives a kill -9 of
        everything.

        Raises OverloadedError when it was refused (alarm, everything full): it is not in the queue;
        LineFullError when only its space, or those who share its line, have too many. Raises
        UnavailableError when no confirmation came in time: it may be in the queue or not; to enqueue
        the same job again is safe, because the ledger runs a job id once. `delay_s`: not before."""

    @abstractmethod
    async def take_async(self) -> AsyncDelivery:
        """Wait for the next asynchronous job, fairly among spaces. Call it only with a free slot in hand.
        Safe to cancel like `take`."""

    async def take_dead(self) -> AsyncDelivery:
        """Wait for the next asynchronous job that the queue gave up, because it was delivered too often and
        never acknowledged. Who takes it writes that into the ledger (`jobs.dead`), then acknowledges.
        Safe to cancel like `take`. Here: a queue that gives none up."""
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async def async_backlog(self) -> int:
        """Asynchronous jobs that it keeps and the ledger may not know: waiting, delayed, given up. Those in a
        worker's hands are not counted, but what no worker claims is back within seconds. Raises
        UnavailableError. Here: a queue of jobs that all have their entries."""
        return 0

    @property
    def keeps_jobs(self) -> bool:
        """Whether asynchronous jobs outlive a kill -9 in the queue itself. False: only their entries in the
        ledger do, and an entry that nobody sees to has to be enqueued again soon."""
        return True

    @property
    @abstractmethod
    def waiting(self) -> int:
        """Jobs that nobody has taken yet, as far as this process knows; for gauges. That a job was taken it
        may learn a moment later, or with its outcome."""

    @property
    def problem(self) -> str | None:
        """What keeps jobs from being queued or taken now, for people; None when all is well. While there is
        one, `take` and `take_async` wait, calls and `enqueue` are refused or bounded in time."""
        return None

    async def wait_failed(self) -> None:
        """Wait until the queue ended by itself, which cannot be mended here; then raise UnavailableError. A
        broker that is away is no end. Here: a queue that does not end."""
        await asyncio.get_running_loop().create_future()

    async def stop_taking(self) -> None:  # noqa: B027 - nothing to do where nothing is held ahead
        """Nobody takes any more, and nothing goes on to wait for this process: what it holds ahead goes
        back to the other workers. Deliveries that were taken are settled as before."""

    @abstractmethod
    async def wait_empty(self) -> None:
        """Wait until no job is left that only workers of this process can take; returns at once for a
        queue whose jobs other workers get. For the drain of a program."""
