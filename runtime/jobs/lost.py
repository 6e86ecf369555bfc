"""Attempts whose worker never told their end: each becomes known as lost once, when somebody else decides.

That is the claim of the next attempt (`Claim.lost`), or the burial after the last one. Not the end of a lease
alone: a worker that only lost the ledger for a while may still renew it.
"""

from __future__ import annotations

from collections.abc import Callable

from runtime.jobs.endings import lost_outcome
from runtime.messages import Attempt, Job, LedgerEntry
from runtime.ports import Ledger

TellLost = Callable[[Job, Attempt], None]
"""Told of each lost attempt, so that its request id is found in the records."""


def tell_nobody(_job: Job, _attempt: Attempt) -> None:
    """A `TellLost` for who keeps no records."""


async def bury_lost(ledger: Ledger, entry: LedgerEntry, tell: TellLost, *, now_ms: int) -> bool:
    """End a job whose attempts are used up. False: it got on meanwhile. Raises UnavailableError."""
    last = entry.attempts[-1]
    buried = await ledger.bury(entry.job.job_id, lost_outcome(last), now_ms=now_ms)
    if buried and last.kind is None:
        tell(entry.job, last)
    return buried


async def bury_used_up(ledger: Ledger, job_id: str, tell: TellLost, *, now_ms: int) -> None:
    """The same, for a job whose claim was answered `NotClaimed.USED_UP`."""
    entry = await ledger.read(job_id)
    if entry is not None:
        await bury_lost(ledger, entry, tell, now_ms=now_ms)
