"""How each way in tells that an idempotency key came again with other arguments."""

from __future__ import annotations

from runtime.cli.jobs import _untold
from runtime.errors import KeyReusedError
from runtime.gateway.management.answers import failure
from runtime.gateway.triggers.answers import refusal_of_error

ERROR = KeyReusedError("job-1")


def test_management_api_and_triggers_answer_409() -> None:
    answer = failure(ERROR, request_id="r", host="h")
    assert answer.status == 409
    assert b'"IdempotencyKeyReused"' in (answer.body or b"")  # type: ignore[operator]
    refusal = refusal_of_error(ERROR, "r")
    assert (refusal.status, refusal.code) == (409, "IdempotencyKeyReused")
    assert "job-1" in refusal.message


def test_attempt_of_a_cancelled_run_is_cancelled_not_lost() -> None:
    job = {"state": "cancelled", "attempts": [{"number": 1}, {"number": 2}]}
    told = [_untold(job, each) for each in job["attempts"]]  # type: ignore[arg-type]
    assert told == ["lost", "cancelled"]
    assert _untold({**job, "state": "dead"}, {"number": 2}) == "lost"
