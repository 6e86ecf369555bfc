"""Whether what callers and producers were told fits what the ledger and the functions say. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.distributed.functions import Executions
from tests.chaos.distributed.synchronous import CALL_BOUND_S
from tests.chaos.distributed.tally import Call, Fault, Submission, Tally
from tests.chaos.workload import kind_of

SLACK_S = 3.0
"""A fault explains failures of calls that began this long after everything worked again."""
RSS_MAX_MB: Mapping[str, int] = {"gateway": 300, "worker": 300}
"""Stated bound of a program's memory in these runs; an idle one has some 100."""
RECOVERED_MAX_S = 30.0
TERMINAL = frozenset({"succeeded", "failed", "timed_out", "dead", "cancelled", "expired"})
_ENDS: Mapping[str, frozenset[str]] = {
    "failing": frozenset({"failed", "dead"}),
    "crashing": frozenset({"failed", "dead"}),
}
"""States of jobs whose function does not answer; all others succeed, or are dead by what was killed."""
_MAY_CUT = frozenset({"gateway", "gateway (idle)", "sigterm_gateway", "half_open_gateway"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A job as the ledger has it. `number` is that of its arguments."""

    job_id: str
    number: int
    state: str
    attempts: int
    result: str = ""


def violations(tally: Tally, entries: Sequence[Entry], executions: Executions) -> Iterator[str]:
    """Of everything that was asked for in one run."""
    yield from _of_calls(tally, executions)
    yield from _of_jobs(tally.submissions, entries, executions)
    for role, peak in tally.peaks_mb.items():
        if peak > RSS_MAX_MB[role]:
            yield f"a {role} had {peak} MB, the bound is {RSS_MAX_MB[role]} MB"
    for fault in tally.faults:
        if fault.recovered_s > RECOVERED_MAX_S:
            yield f"calls worked {fault.recovered_s:.1f} s after {', '.join(fault.kinds)}"


def _of_calls(tally: Tally, executions: Executions) -> Iterator[str]:
    for call in tally.calls:
        where = f"call {call.number} of {call.name} ({call.request_id or 'no id'})"
        outcome = call.verdict.outcome
        if call.verdict.wrong:
            yield f"{where}: {call.verdict.wrong}"
        if call.verdict.blamed_on_function:
            yield f"{where} blames the function: {call.verdict.blamed_on_function}"
        if call.seconds > CALL_BOUND_S:
            yield f"{where} took {call.seconds:.1f} s"
        if not _explained(call, tally.faults):
            yield f"{where}: {outcome} although nothing had failed"
        starts, ends = (
            len(found.get(call.number, ())) for found in (executions.starts, executions.ends)
        )
        if starts > 1:
            yield f"{where} ran {starts} times"
        if outcome in {"ok", "function_error"} and (starts, ends) != (1, 1):
            yield f"{where}: {outcome}, but it began {starts} and ended {ends} times"


def _explained(call: Call, faults: Sequence[Fault]) -> bool:
    cut = call.verdict.outcome == "cut"
    if not cut and call.verdict.blame != "ours":
        return True
    return any(
        fault.began <= call.ended and call.began <= fault.ended + fault.recovered_s + SLACK_S
        for fault in faults
        if not cut or _MAY_CUT & (fault.done.keys() | set(fault.kinds))
    )


def _of_jobs(
    submissions: Sequence[Submission], entries: Sequence[Entry], executions: Executions
) -> Iterator[str]:
    by_number: dict[int, list[Entry]] = {}
    for entry in entries:
        by_number.setdefault(entry.number, []).append(entry)
    told_ids = Counter(told.job_id for told in submissions if told.job_id)
    yield from (f"{job_id} was given to {n} producers" for job_id, n in told_ids.items() if n > 1)
    known = {told.number for told in submissions}
    for number in by_number.keys() - known:
        yield f"nobody asked for job {number}: {by_number[number]}"
    for told in submissions:
        yield from _of_job(told, by_number.get(told.number, []), executions)


def _of_job(told: Submission, found: Sequence[Entry], executions: Executions) -> Iterator[str]:
    where = f"job {told.number} ({told.way}, {told.name}, {told.job_id or 'no id'})"
    starts = len(executions.starts.get(told.number, ()))
    if told.state == "refused":
        if found or starts:
            yield f"{where} was refused ({told.why}) and has {found}, {starts} executions"
        return
    if len(found) > 1 or (told.state == "accepted" and not found):
        yield f"{where} was {told.state} and is in the ledger {len(found)} times: {found}"
    if not found and starts:
        yield f"{where} ran {starts} times and is not in the ledger"
    for entry in found:
        if starts > entry.attempts:
            yield f"{where} ran {starts} times in {entry.attempts} attempts"
        for flaw in _flaws(told, entry, ended=bool(executions.ends.get(told.number))):
            yield f"{where} {flaw}"


def _flaws(told: Submission, entry: Entry, *, ended: bool) -> Iterator[str]:
    wanted = _ENDS.get(kind_of(told.name), frozenset({"succeeded", "dead"}))
    if told.job_id and entry.job_id != told.job_id:
        yield f"has another id in the ledger: {entry.job_id}"
    if entry.state not in TERMINAL:
        yield f"is not over: {entry.state}"
    elif entry.state not in wanted:
        yield f"ended {entry.state}"
    if entry.state == "succeeded":
        if not ended:
            yield "succeeded without an execution that ended"
        if _number(entry.result) != told.number:
            yield f"has another's result: {entry.result[:100]}"


def _number(result: str) -> int | None:
    try:
        value = json.loads(result)["i"]
    except (ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, int) else None
