"""Asynchronous jobs as members of answers; times as texts, null = there is none."""

from __future__ import annotations

from typing import Any

from runtime.gateway.management.answers import iso
from runtime.gateway.management.invocations import bill_row, error_row
from runtime.job_ids import JobIds
from runtime.jobs.endings import terms_of
from runtime.jobs.queries import JobView
from runtime.messages import Attempt, LedgerEntry


def job_row(view: JobView, space_id: str) -> dict[str, Any]:
    """All that is known; of a job that no worker has seen little more than that it waits."""
    if view.entry is None:
        return {
            "SpaceId": space_id,
            "JobId": view.job_id,
            "State": view.state.value,
            "AcceptedAt": iso(JobIds.made_ms(view.job_id)),
        }
    entry = view.entry
    row = brief_row(entry)
    job = entry.job
    terms = terms_of(job)
    row |= {
        "DeploymentId": job.code.deployment_id,
        "ParentRequestId": job.parent_request_id,
        "Depth": job.depth,
        "UserId": job.principal.user_id,
        "TriggerPath": job.trigger_path,
        "IdempotencyKey": terms.idempotency_key,
        "BackoffMs": round(terms.backoff_first_s * 1000),
        "BackoffLongestMs": round(terms.backoff_longest_s * 1000),
        "RetryErrors": terms.retry_function,
        "TimeoutMs": round(job.limits.timeout_s * 1000),
        "LeasedUntil": _time(entry.leased_until_ms),
        "Attempts": [_attempt_row(each) for each in entry.attempts],
    }
    if entry.outcome is not None:
        row["Bill"] = bill_row(entry.outcome.bill)
        if entry.outcome.value is not None:
            row["Result"] = entry.outcome.value.decode()
        if view.result_problem is not None:
            row["ResultProblem"] = view.result_problem
    return row


def brief_row(entry: LedgerEntry) -> dict[str, Any]:
    """For lists: without attempts, result and bill."""
    job, terms = entry.job, terms_of(entry.job)
    row: dict[str, Any] = {
        "SpaceId": job.space_id,
        "JobId": job.job_id,
        "State": entry.state.value,
        "Name": job.function,
        "Source": job.source.value,
        "AcceptedAt": iso(terms.accepted_ms),
        "StartedAt": _time(entry.attempts[0].started_ms if entry.attempts else None),
        "ChangedAt": iso(entry.changed_ms),
        "EndedAt": _time(entry.ended_ms),
        "NotBefore": _time(entry.not_before_ms),
        "AttemptsMade": len(entry.attempts),
        "AttemptsMax": terms.attempts_max,
        "ReplayOf": terms.replay_of,
    }
    outcome = entry.outcome
    if outcome is not None:
        row["RequestId"] = outcome.request_id
        row["Outcome"] = outcome.kind.value
        if not outcome.ok:
            row["Error"] = error_row(outcome)
    return row


def _attempt_row(attempt: Attempt) -> dict[str, Any]:
    return {
        "Number": attempt.number,
        "RequestId": attempt.request_id,
        "WorkerId": attempt.worker_id,
        "StartedAt": iso(attempt.started_ms),
        "EndedAt": _time(attempt.ended_ms),
        "Outcome": attempt.kind.value if attempt.kind else None,
    }


def _time(time_ms: int | None) -> str | None:
    return None if time_ms is None else iso(time_ms)
