"""A worker's claims: one whose answer was lost is made again under the same request id, so that it is known.

The answer is lost when the database changes its primary right after it wrote the claim. Without this the job
would seem to run elsewhere until the lease ends, and an attempt be spent that never began.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from runtime.errors import UnavailableError
from runtime.messages import Job
from runtime.ports import Claim, Clock, Ledger, NotClaimed, Quota, Sleep

_RETRY_FIRST_S = 0.1
_RETRY_LONGEST_S = 1.0
_UNSURE_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimTerms:
    """What every claim of one worker says."""

    worker_id: str
    lease_s: float
    quota: Quota
    claim_s: float
    """A claim is repeated for so long."""


class Claims:
    """Of one worker."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        terms: ClaimTerms,
        *,
        sleep: Sleep,
        new_id: Callable[[], str],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._terms = terms
        self._sleep = sleep
        self._new_id = new_id
        self._unsure: OrderedDict[str, str] = OrderedDict()
        """By job: the request id of a claim that may have been written. The oldest is forgotten first."""

    async def claim(self, job: Job) -> Claim | NotClaimed:
        """See `Ledger.claim`; never `ID_USED`. Raises UnavailableError when the ledger did not answer for
        `claim_s`: the next claim of this job here finds out what became of it."""
        request_id = self._unsure.pop(job.job_id, None) or self._new_id()
        until = self._clock.monotonic() + self._terms.claim_s
        wait_s = _RETRY_FIRST_S
        while True:
            try:
                answer = await self._ask(job, request_id)
            except UnavailableError:
                if self._clock.monotonic() + wait_s >= until:
                    self._remember(job, request_id)
                    raise
                await self._sleep(wait_s)
                wait_s = min(wait_s * 2, _RETRY_LONGEST_S)
            else:
                if answer is not NotClaimed.ID_USED:
                    return answer
                request_id = self._new_id()

    async def _ask(self, job: Job, request_id: str) -> Claim | NotClaimed:
        return await self._ledger.claim(
            job,
            worker_id=self._terms.worker_id,
            request_id=request_id,
            lease_ms=round(self._terms.lease_s * 1000),
            quota=self._terms.quota,
            now_ms=self._clock.now_ms(),
        )

    def _remember(self, job: Job, request_id: str) -> None:
        self._unsure[job.job_id] = request_id
        if len(self._unsure) > _UNSURE_MAX:
            self._unsure.popitem(last=False)
