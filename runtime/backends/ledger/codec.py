"""Entries of the ledger as documents and back, and what every ledger computes alike. Pure.

One document per job; short names, because they are stored with every document:

    _id job id                st  state (`dropped`: removed, only its id is remembered)
    s   space id              n   attempts begun         m   attempts allowed
    f   function              a   attempts by number: w worker, r request id, t started, e ended, k kind
    t   accepted, ms          u   leased until           v   not before
    b   the job, its head     d   due: when somebody must look at it      k   looks since it changed
    p   its payload           e   ended                  c   changed      i   idempotency key, hashed
    o   last outcome, its head                           q   its value    w   who looked last, a number
    z   terminal states written, 1 unless something is wrong

Heads and payloads (`job_codec.split`) stand apart, so that lists need not read arguments and results.

Attempts are a document and no array: paths like `a.2.e` then mean the same to every server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from runtime.errors import MalformedMessageError
from runtime.job_codec import decode_job, decode_outcome, encode_job, encode_outcome, split
from runtime.messages import (
    AsyncTerms,
    Attempt,
    Code,
    FunctionLimits,
    Job,
    JobState,
    LedgerEntry,
    Outcome,
    Source,
)
from sandbox.api import OutcomeKind

_log = structlog.get_logger(__name__)

Document = dict[str, Any]

KEY_HOLDS_MS = 24 * 3600 * 1000
"""How long a repeated idempotency key returns the first job."""

DROPPED = "dropped"

EARLY_MS = 1000
"""An attempt may begin so long before it is due: queue and ledger measure the wait by clocks of their own."""

TERMINAL = tuple(state.value for state in JobState if state.terminal)

_LOOKS_DOUBLE_MAX = 6


def new_document(job: Job, *, now_ms: int) -> Document:
    """Of a job that waits. Raises ValueError for a synchronous one."""
    if job.terms is None:
        raise ValueError(f"job {job.job_id} is synchronous: the ledger is not for it")
    head, payload = split(encode_job(job))
    return {
        "_id": job.job_id,
        "s": job.space_id,
        "f": job.function,
        "t": job.terms.accepted_ms,
        "m": job.terms.attempts_max,
        "b": head,
        "p": payload,
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
        "z": 1,
        "c": now_ms,
    }


def expired_document(job: Job, *, now_ms: int) -> Document:
    """Of a job that no worker began in time."""
    document = new_document(job, now_ms=now_ms)
    for name in ("d", "k"):
        del document[name]
    return document | {"st": JobState.EXPIRED.value, "e": now_ms, "z": 1}


def attempt_document(attempt: Attempt) -> Document:
    """Of one that begins."""
    return {"w": attempt.worker_id, "r": attempt.request_id, "t": attempt.started_ms}


def outcome_fields(outcome: Outcome) -> Document:
    """The last outcome; it replaces an earlier one as a whole."""
    head, value = split(encode_outcome(outcome))
    return {"o": head, "q": value}


def entry_from_document(document: Mapping[str, Any], *, brief: bool = False) -> LedgerEntry:
    """Raises MalformedMessageError for a job or outcome that a newer version wrote, KeyError, TypeError or
    ValueError for a document that makes no entry. `brief`: see `Ledger.find`."""
    job = (
        decode_job(_joined(document, "b", "p"), brief=brief)
        if "b" in document
        else unseen_job(document["_id"], document["s"], int(document["t"]))
    )
    has_outcome = document.get("o") is not None
    return LedgerEntry(
        job=job,
        state=JobState(document["st"]),
        attempts=attempts_of(document),
        leased_until_ms=_time(document, "u"),
        not_before_ms=_time(document, "v"),
        outcome=decode_outcome(_joined(document, "o", "q"), brief=brief) if has_outcome else None,
        ended_ms=_time(document, "e"),
        ends=int(document.get("z", 0)),
        changed_ms=int(document["c"]),
    )


def dropped_entry(document: Mapping[str, Any]) -> LedgerEntry:
    """What is left of an entry that was dropped."""
    return LedgerEntry(
        job=unseen_job(document["_id"], document["s"], int(document["t"])),
        state=JobState.DEAD,
        attempts=attempts_of(document),
        ended_ms=_time(document, "e"),
        ends=int(document.get("z", 0)),
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


def _joined(document: Mapping[str, Any], head: str, payload: str) -> bytes:
    return bytes(document[head]) + bytes(document.get(payload, b""))


def attempts_of(document: Mapping[str, Any]) -> tuple[Attempt, ...]:
    """All that were begun, oldest first."""
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


def readable_entries(
    documents: Sequence[Mapping[str, Any]], *, brief: bool = False
) -> list[LedgerEntry]:
    """Those that this version can read; one that a newer version wrote must not stop the others."""
    entries = []
    for each in documents:
        try:
            entries.append(entry_from_document(each, brief=brief))
        except (MalformedMessageError, KeyError, TypeError, ValueError) as error:
            _log.error("ledger_entry_unreadable", job_id=each.get("_id"), error=str(error)[:300])
    return entries
