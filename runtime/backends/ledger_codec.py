"""Entries of the ledger as documents and back, and what every ledger computes alike. Pure.

One document per job; short names, because they are stored with every document:

    _id job id                st  state (`dropped`: removed, only its id is remembered)
    s   space id              n   attempts begun         m   attempts allowed
    f   function              a   attempts by number: w worker, r request id, t started, e ended, k kind
    t   accepted, ms          u   leased until           v   not before
    b   the job, encoded      d   due: when somebody must look at it      k   looks since it changed
    o   last outcome, encoded e   ended                  c   changed      i   idempotency key, hashed

Attempts are a document and no array: paths like `a.2.e` then mean the same to every server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from runtime.job_codec import decode_job, decode_outcome, encode_job
from runtime.messages import (
    AsyncTerms,
    Attempt,
    Code,
    FunctionLimits,
    Job,
    JobState,
    LedgerEntry,
    Source,
)
from sandbox.api import OutcomeKind

Document = dict[str, Any]

KEY_HOLDS_MS = 24 * 3600 * 1000
"""How long a repeated idempotency key returns the first job."""

DROPPED = "dropped"

TERMINAL = tuple(state.value for state in JobState if state.terminal)

_LOOKS_DOUBLE_MAX = 6


def new_document(job: Job, *, now_ms: int) -> Document:
    """Of a job that waits. Raises ValueError for a synchronous one."""
    if job.terms is None:
        raise ValueError(f"job {job.job_id} is synchronous: the ledger is not for it")
    return {
        "_id": job.job_id,
        "s": job.space_id,
        "f": job.function,
        "t": job.terms.accepted_ms,
        "m": job.terms.attempts_max,
        "b": encode_job(job),
        "st": JobState.QUEUED.value,
        "n": 0,
        "a": {},
        "d": job.terms.accepted_ms,
        "k": 0,
        "c": now_ms,
    }


def unseen_document(job_id: str, space_id: str, *, now_ms: int) -> Document:
    """Of a job that was cancelled before any worker brought it."""
    return {
        "_id": job_id,
        "s": space_id,
        "f": "",
        "t": now_ms,
        "m": 0,
        "st": JobState.CANCELLED.value,
        "n": 0,
        "a": {},
        "e": now_ms,
        "c": now_ms,
    }


def attempt_document(attempt: Attempt) -> Document:
    """Of one that begins."""
    return {"w": attempt.worker_id, "r": attempt.request_id, "t": attempt.started_ms}


def entry_from_document(document: Mapping[str, Any]) -> LedgerEntry:
    """Raises MalformedMessageError for a job or outcome that a newer version wrote, KeyError, TypeError or
    ValueError for a document that makes no entry."""
    job = (
        decode_job(bytes(document["b"]))
        if "b" in document
        else unseen_job(document["_id"], document["s"], int(document["t"]))
    )
    outcome = document.get("o")
    return LedgerEntry(
        job=job,
        state=JobState(document["st"]),
        attempts=_attempts(document),
        leased_until_ms=_time(document, "u"),
        not_before_ms=_time(document, "v"),
        outcome=None if outcome is None else decode_outcome(bytes(outcome)),
        ended_ms=_time(document, "e"),
        changed_ms=int(document["c"]),
    )


def unseen_job(job_id: str, space_id: str, accepted_ms: int) -> Job:
    """What stands in the entry of a job that was cancelled before any worker brought it: only its id and
    its space are known."""
    return Job(
        job_id=job_id,
        request_id="",
        space_id=space_id,
        function="",
        code=Code(deployment_id="", digest=""),
        limits=FunctionLimits(),
        args=b"{}",
        source=Source.SERVER,
        terms=AsyncTerms(accepted_ms=accepted_ms),
    )


def idempotency_of(job: Job) -> str | None:
    """One text for (space, function, idempotency key), of a length that an index likes."""
    if job.terms is None or job.terms.idempotency_key is None:
        return None
    parts = (job.space_id, job.function, job.terms.idempotency_key)
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode(errors="surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()


def look_again_ms(state: JobState, looks: int, now_ms: int, grace_ms: int) -> int:
    """The due time of an entry that was just looked at, for the `looks` + 1st time since it changed."""
    wait_ms = grace_ms << min(looks, _LOOKS_DOUBLE_MAX)
    # what is queued is looked at `grace_ms` after it is due, what runs at once
    return now_ms + (wait_ms if state is JobState.RUNNING else wait_ms - grace_ms)


def _attempts(document: Mapping[str, Any]) -> tuple[Attempt, ...]:
    stored: Mapping[str, Mapping[str, Any]] = document.get("a", {})
    return tuple(
        Attempt(
            number=number,
            worker_id=each["w"],
            request_id=each["r"],
            started_ms=int(each["t"]),
            ended_ms=_time(each, "e"),
            kind=OutcomeKind(each["k"]) if "k" in each else None,
        )
        for number, each in sorted((int(name), each) for name, each in stored.items())
    )


def _time(document: Mapping[str, Any], name: str) -> int | None:
    value = document.get(name)
    return None if value is None else int(value)
