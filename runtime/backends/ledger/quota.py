"""How many jobs run, by space and function, as one worker knows it. Pure.

To count costs more than all else of a claim, so a count is used for a moment, with this worker's own claims
added. What other workers began in that moment is missing; what ended is still counted, but no job is refused
before it was counted anew.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping

from runtime.messages import Job
from runtime.ports import NotClaimed, Quota

_SPACES_MAX = 1000


class RunningCounts:
    """Counts that are not older than `age_ms`."""

    def __init__(self, age_ms: int) -> None:
        self._age_ms = age_ms
        self._spaces: OrderedDict[str, tuple[int, Counter[str]]] = OrderedDict()

    def counted(self, space_id: str, counts: Mapping[str, int], now_ms: int) -> None:
        """Running jobs of a space by function, from the ledger."""
        self._spaces[space_id] = (now_ms, Counter(counts))
        self._spaces.move_to_end(space_id)
        if len(self._spaces) > _SPACES_MAX:
            self._spaces.popitem(last=False)

    def began(self, job: Job) -> None:
        """This worker claimed a job."""
        known = self._spaces.get(job.space_id)
        if known is not None:
            known[1][job.function] += 1

    def has_room(self, job: Job, quota: Quota, now_ms: int) -> bool:
        """Whether the job may run by what is known. False: count."""
        known = self._spaces.get(job.space_id)
        if known is None or not 0 <= now_ms - known[0] < self._age_ms:
            return False
        return over_quota(known[1], job, quota) is None


def over_quota(counts: Mapping[str, int], job: Job, quota: Quota) -> NotClaimed | None:
    """Which quota a further job would exceed."""
    if sum(counts.values()) >= quota.per_space:
        return NotClaimed.SPACE_QUOTA
    if counts.get(job.function, 0) >= quota.per_function:
        return NotClaimed.FUNCTION_QUOTA
    return None
