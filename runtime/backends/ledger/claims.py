"""What a ledger answers to a claim whose answer was lost. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.messages import Attempt, JobState
from runtime.ports import Claim, NotClaimed


def lost_one(attempts: Sequence[Attempt]) -> Attempt | None:
    """The last of these, when it never told its end."""
    return attempts[-1] if attempts and attempts[-1].kind is None else None


def repeated_claim(
    job_id: str, state: JobState, attempts: Sequence[Attempt], request_id: str
) -> Claim | NotClaimed | None:
    """The answer for a job that is not over: the claim that was made before under this request id, whose
    lease is still to be renewed, or that its attempt is over. None when there was none."""
    if request_id not in {each.request_id for each in attempts}:
        return None
    if state is not JobState.RUNNING or attempts[-1].request_id != request_id:
        return NotClaimed.ID_USED
    return Claim(job_id=job_id, attempt=attempts[-1], lost=lost_one(attempts[:-1]))
