"""Sets asynchronous jobs aside that keep those of other spaces from being seen.

A shard is one line of many spaces: behind a space with thousands of jobs there, all others would wait. So
workers look ahead. Of the jobs that a worker cannot start at once, the first of each space waits in its
hands; the next ones go into the lanes (`rabbitmq.lanes`), from which every worker takes, too, with the spaces
in turns. What comes later follows them, so that a space's old jobs are not behind its new ones. A job is set
aside at most once, and waits there for a free slot, not for a time.
"""

from __future__ import annotations

from collections.abc import Callable

from runtime.backends.rabbitmq.deliveries import Bench, JobDelivery
from runtime.backends.rabbitmq.lanes import LaneCounts
from runtime.messages import Job


class Aside:
    """One worker's part. `keep` gets back what cannot be set aside now."""

    def __init__(self, bench: Bench, *, keep: Callable[[JobDelivery], None]) -> None:
        self._bench = bench
        self._keep = keep
        self._lanes = LaneCounts()
        self._keys = bench.topology.lanes()
        self._lane_of = {key: lane for lane, key in enumerate(self._keys)}

    def home(self, job: Job, key: str) -> tuple[str, int]:
        """Of a job that came under `key`: where it goes back to, and its rank among its space's jobs."""
        lane = self._lane_of.get(key)
        if lane is None:
            return key, 0
        self._lanes.leave(job.space_id)
        return key, lane + 1

    def set_aside(self, delivery: JobDelivery, /, *, second: bool) -> bool:
        """`second`: one of its space is in this worker's hands. False: it waits there, too, because it is the
        only one of its space, or was set aside before."""
        now_s = self._bench.clock.monotonic()
        if delivery.rank > 0 or not (second or self._lanes.has(delivery.space_id, now_s)):
            return False
        lane = self._lanes.enter(delivery.space_id, now_s)
        self._bench.in_background(self._move(delivery, lane), delivery.key)
        return True

    async def _move(self, delivery: JobDelivery, lane: int) -> None:
        if await delivery.move_to(self._keys[lane]):
            self._bench.counts["set_aside"] += 1
        else:  # the lane is full, or the broker takes nothing
            self._lanes.leave(delivery.space_id)
            self._keep(delivery)
