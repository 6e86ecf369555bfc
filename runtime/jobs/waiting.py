"""Accepted jobs without an entry: do they still wait in the queue, or are they lost?

The queue tells only how many jobs it has, not which. So many may wait; what exceeds that number is lost. A
job that is on its way (in a worker's hands, between two queues) is in neither count, but only for a moment:
lost is what is missing at every look for some seconds. Jobs that nobody listed are counted as well, so the
number of lost ones is a lower bound while other jobs wait, and exact when the queue is empty.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from runtime.jobs.known import known_jobs
from runtime.ports import Ledger, Sleep


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingJobs:
    """What it takes to tell."""

    backlog: Callable[[], Awaitable[int]]
    """`Queue.async_backlog`."""
    ours: Callable[[Iterable[str]], Awaitable[frozenset[str]]]
    """Those of these ids that we made, for jobs that may still wait."""
    sleep: Sleep
    looks: int = 20
    every_s: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrecorded:
    """What became of accepted jobs without an entry."""

    missing: frozenset[str] = frozenset()
    """When there are queued ones, too, it cannot be told which: then it is all of them."""
    missing_count: int = 0
    queued: frozenset[str] = frozenset()
    queued_count: int = 0
    recorded: frozenset[str] = frozenset()
    """Those that got their entry meanwhile."""


async def tell_waiting(
    ledger: Ledger, unrecorded: frozenset[str], waiting: WaitingJobs | None
) -> Unrecorded:
    """Without `waiting` none may wait. Raises UnavailableError."""
    if waiting is None or not unrecorded:
        return Unrecorded(missing=unrecorded, missing_count=len(unrecorded))
    ours = left = await waiting.ours(unrecorded)
    foreign = unrecorded - ours
    lost = len(left)
    for look in range(waiting.looks):
        if look:
            await waiting.sleep(waiting.every_s)
        # The queue before the ledger: what leaves it meanwhile is there.
        backlog = await waiting.backlog()
        left -= await known_jobs(ledger, left)
        lost = min(lost, max(0, len(left) - backlog))
        if not lost:
            break
    queued = len(left) - lost
    return Unrecorded(
        missing=foreign | left if lost else foreign,
        missing_count=len(foreign) + lost,
        queued=frozenset() if lost else left,
        queued_count=queued,
        recorded=ours - left,
    )
