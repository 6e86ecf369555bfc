"""`yunhan ledger check`: does every entry have a legal history, and every accepted job exactly one end?"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, replace

from runtime.jobs.endings import terms_of
from runtime.jobs.waiting import WaitingJobs, tell_waiting
from runtime.messages import JobState, LedgerEntry
from runtime.ports import Ledger, LedgerQuery
from sandbox.api import Blame, OutcomeKind

_PAGE = 500
_LISTED_MAX = 100

_ENDS = {
    JobState.SUCCEEDED: frozenset({OutcomeKind.OK}),
    JobState.TIMED_OUT: frozenset({OutcomeKind.TIMEOUT}),
    JobState.FAILED: frozenset(
        kind
        for kind in OutcomeKind
        if kind.blame is Blame.FUNCTION and kind is not OutcomeKind.TIMEOUT
    ),
}
"""How the last attempt of a job in such a state must have ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerReport:
    """What was found. The lists are cut at 100 each, the counts are not."""

    states: Mapping[JobState, int]
    flaws: tuple[str, ...] = ()
    flaws_count: int = 0
    accepted: int = 0
    """Different job ids that were compared."""
    dropped: int = 0
    """Accepted, over, and removed by somebody since."""
    missing: tuple[str, ...] = ()
    """Accepted, but without an entry, and the queue does not have it: lost, or over so long ago that its
    entry was pruned. While others still wait it cannot be told which: then all without one are listed."""
    missing_count: int = 0
    queued: tuple[str, ...] = ()
    """Accepted, without an entry, and the queue has so many: no worker has seen them yet."""
    queued_count: int = 0
    double: tuple[str, ...] = ()
    """Listed more than once: two acceptances were given one id, which only a repeated idempotency key may."""
    double_count: int = 0
    unended: tuple[str, ...] = ()
    """Accepted, but not over yet."""
    unended_count: int = 0

    @property
    def sound(self) -> bool:
        """No flaw, and every accepted job has exactly one end."""
        return not (
            self.flaws_count or self.missing_count or self.unended_count or self.queued_count
        )


async def check_ledger(
    ledger: Ledger,
    query: LedgerQuery,
    *,
    accepted: Iterable[str] = (),
    now_ms: int,
    tolerance_ms: int,
    waiting: WaitingJobs | None = None,
) -> LedgerReport:
    """Look at every entry that matches. `accepted` are lines with a job id each, of a log that a producer
    wrote; empty ones are skipped. A lease that ended longer than `tolerance_ms` ago is a flaw. Without
    `waiting` every accepted job is expected to have an entry.

    Memory grows with `accepted`. Raises UnavailableError."""
    times = Counter(line.strip() for line in accepted if line.strip())
    states: Counter[JobState] = Counter()
    flaws: list[str] = []
    unended: list[str] = []
    missing = set(times)
    async for entry in _entries(ledger, query):
        job_id = entry.job.job_id
        states[entry.state] += 1
        flaws += [f"{job_id}: {flaw}" for flaw in flaws_of(entry, now_ms, tolerance_ms)]
        if job_id in missing:
            missing.discard(job_id)
            if not entry.state.terminal:
                unended.append(job_id)
    dropped = {job_id for job_id in missing if await ledger.dropped(job_id)}
    missing -= dropped
    unrecorded = await tell_waiting(ledger, frozenset(missing), waiting)
    for job_id in sorted(unrecorded.recorded):
        late = await ledger.read(job_id)
        if late is not None and not late.state.terminal:
            unended.append(job_id)
    double = [job_id for job_id, count in times.items() if count > 1]
    return LedgerReport(
        states=dict(states),
        flaws=tuple(flaws[:_LISTED_MAX]),
        flaws_count=len(flaws),
        accepted=len(times),
        dropped=len(dropped),
        missing=tuple(sorted(unrecorded.missing)[:_LISTED_MAX]),
        missing_count=unrecorded.missing_count,
        queued=tuple(sorted(unrecorded.queued)[:_LISTED_MAX]),
        queued_count=unrecorded.queued_count,
        double=tuple(double[:_LISTED_MAX]),
        double_count=len(double),
        unended=tuple(unended[:_LISTED_MAX]),
        unended_count=len(unended),
    )


def flaws_of(entry: LedgerEntry, now_ms: int, tolerance_ms: int) -> list[str]:
    """What is wrong with one entry; empty = nothing. Pure."""
    flaws: list[str] = []
    attempts = entry.attempts
    if [each.number for each in attempts] != list(range(1, len(attempts) + 1)):
        flaws.append(f"attempts are numbered {[each.number for each in attempts]}")
    allowed = terms_of(entry.job).attempts_max
    if len(attempts) > allowed:
        flaws.append(f"{len(attempts)} attempts, {allowed} were allowed")
    if len({each.request_id for each in attempts}) != len(attempts):
        flaws.append("two attempts have the same request id")
    if any(each.kind is OutcomeKind.OK for each in attempts[:-1]):
        flaws.append("an attempt began after one that succeeded")
    if entry.state.terminal:
        return flaws + _flaws_of_end(entry)
    if entry.ended_ms is not None or entry.ends:
        flaws.append(f"it is {entry.state.value}, but has an end")
    if entry.state is JobState.RUNNING:
        return flaws + _flaws_of_run(entry, now_ms, tolerance_ms)
    if entry.leased_until_ms is not None:
        flaws.append("it is queued, but has a lease")
    return flaws


def _flaws_of_run(entry: LedgerEntry, now_ms: int, tolerance_ms: int) -> list[str]:
    flaws = []
    if not entry.attempts or entry.attempts[-1].kind is not None:
        flaws.append("it is running, but no attempt is under way")
    if entry.leased_until_ms is None:
        flaws.append("it is running without a lease")
    elif entry.leased_until_ms + tolerance_ms < now_ms:
        late_s = (now_ms - entry.leased_until_ms) // 1000
        flaws.append(f"its lease ended {late_s} s ago and nobody took it over")
    return flaws


def _flaws_of_end(entry: LedgerEntry) -> list[str]:
    flaws = []
    if entry.ended_ms is None:
        flaws.append(f"it is {entry.state.value}, but has no time of its end")
    if entry.ends != 1:
        flaws.append(f"it is {entry.state.value}, and an end was written {entry.ends} times")
    if entry.leased_until_ms is not None:
        flaws.append(f"it is {entry.state.value}, but has a lease")
    wanted = _ENDS.get(entry.state)
    last = entry.attempts[-1].kind if entry.attempts else None
    if wanted is not None and last not in wanted:
        flaws.append(f"it is {entry.state.value}, but its last attempt ended {last or 'never'}")
    if wanted is not None and _told(entry) != (last, _last_id(entry)):
        flaws.append(f"it is {entry.state.value}, but its outcome is not that of its last attempt")
    if entry.state is not JobState.SUCCEEDED and last is OutcomeKind.OK:
        flaws.append(f"it is {entry.state.value}, but its last attempt succeeded")
    if entry.state is JobState.DEAD and entry.outcome is None:
        flaws.append("it is dead without a reason")
    return flaws


def _told(entry: LedgerEntry) -> tuple[OutcomeKind | None, str | None]:
    outcome = entry.outcome
    return (None, None) if outcome is None else (outcome.kind, outcome.request_id)


def _last_id(entry: LedgerEntry) -> str | None:
    return entry.attempts[-1].request_id if entry.attempts else None


async def _entries(ledger: Ledger, query: LedgerQuery) -> AsyncIterator[LedgerEntry]:
    """All that match, newest first, page after page by time: jobs that come meanwhile shift nothing."""
    seen: set[str] = set()
    """Ids accepted at the time where the next page begins."""
    while True:
        page, _ = await ledger.find(query, offset=len(seen), limit=_PAGE, brief=True)
        for entry in page:
            yield entry
        if len(page) < _PAGE:
            return
        oldest_ms = terms_of(page[-1].job).accepted_ms
        here = {e.job.job_id for e in page if terms_of(e.job).accepted_ms == oldest_ms}
        same_time = query.to_ms == oldest_ms + 1
        seen = seen | here if same_time else here
        query = replace(query, to_ms=oldest_ms + 1)
