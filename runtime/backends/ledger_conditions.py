"""Conditions and changes of the ledger's documents (`ledger_codec`), as the database wants them. Pure."""

from __future__ import annotations

from runtime.backends.ledger_codec import Document
from runtime.job_codec import encode_outcome
from runtime.messages import JobState, Outcome
from runtime.ports import Claim, LedgerQuery

RUNNING = JobState.RUNNING.value

SETTLED: Document = {"$unset": dict.fromkeys(("u", "v", "d", "k"), "")}
"""A terminal document has no lease, no due time."""


def held(claim: Claim) -> Document:
    """The document as long as this claim is the one that runs."""
    number = claim.attempt.number
    return {
        "_id": claim.job_id,
        "st": RUNNING,
        "n": number,
        f"a.{number}.r": claim.attempt.request_id,
    }


def unchanged(found: Document) -> Document:
    """The document as long as no claim, renewal or end came between."""
    same = {name: found[name] for name in ("_id", "st", "n")}
    return same | {"u": found.get("u")}  # None also means: no such field


def attempt_end(claim: Claim, outcome: Outcome, now_ms: int) -> Document:
    """The change when an attempt tells its end."""
    attempt = f"a.{claim.attempt.number}"
    return {
        f"{attempt}.e": now_ms,
        f"{attempt}.k": outcome.kind.value,
        "o": encode_outcome(outcome),
        "c": now_ms,
    }


def end_of(state: JobState, now_ms: int) -> Document:
    """The change to a terminal state."""
    return {"st": state.value, "e": now_ms, "c": now_ms}


def condition_of(query: LedgerQuery) -> Document:
    """Which documents a query means."""
    wanted: Document = {}
    if query.space_id is not None:
        wanted["s"] = query.space_id
    states = frozenset(JobState) if query.states is None else query.states
    values = sorted(state.value for state in states)
    wanted["st"] = values[0] if len(values) == 1 else {"$in": values}
    if query.function is not None:
        wanted["f"] = query.function
    times = {"$gte": query.from_ms, "$lt": query.to_ms}
    times = {operator: value for operator, value in times.items() if value is not None}
    if times:
        wanted["t"] = times
    return wanted
