"""Conditions, changes and indexes of the ledger's documents (`ledger.codec`) as the database wants them."""

from __future__ import annotations

from pymongo import ASCENDING, DESCENDING, IndexModel

from runtime.backends.ledger.codec import Document, outcome_fields
from runtime.messages import JobState, Outcome
from runtime.ports import Claim, LedgerQuery

HAS_KEY: Document = {"$gt": ""}
"""As the index says it; the embedded server uses a partial index only for the same words."""
INDEXES = (
    IndexModel([("s", ASCENDING), ("st", ASCENDING), ("t", DESCENDING)]),
    IndexModel([("st", ASCENDING), ("d", ASCENDING)]),
    IndexModel([("e", ASCENDING)]),
    IndexModel([("i", ASCENDING)], unique=True, partialFilterExpression={"i": HAS_KEY}),
)

RUNNING = JobState.RUNNING.value

SETTLED: Document = {
    "$unset": dict.fromkeys(("u", "v", "d", "k"), ""),
    "$inc": {"z": 1},
}
"""Of every change to a terminal state: no lease, no due time, and one end more."""


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
        "c": now_ms,
        **outcome_fields(outcome),
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
