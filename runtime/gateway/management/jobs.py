"""Our own actions on asynchronous jobs; the original has none.

A job belongs to its space: with another `SpaceId` it does not exist. Without one its space is looked for, as
the management key is good for all of them. Jobs that no worker has seen yet are shown, but in no list: they
are in the queue only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from runtime.errors import InvalidParameterError
from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.invocations import json_text
from runtime.gateway.management.job_rows import brief_row, job_row
from runtime.gateway.management.parameters import Parameters
from runtime.ids import new_request_id
from runtime.messages import JobState, Source
from runtime.ports import LedgerQuery
from runtime.services.async_terms import read_key

_PAGE_SIZE_MAX = 100
_SPACES_PAGE = 1000

_STATES = {state.value.upper(): state for state in JobState}


async def yunhan_invoke_async(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """`First` false: an earlier call with the same `IdempotencyKey` made the job."""
    accepted = await deps.async_calls.submit(
        parameters.needed("SpaceId"),
        parameters.needed("Name"),
        json_text("Args", parameters.text("Args") or "{}"),
        source=Source.SERVER,
        request_id=new_request_id(),
        idempotency_key=read_key(parameters.text("IdempotencyKey")),
    )
    return {"JobId": accepted.job_id, "First": accepted.first}


async def yunhan_describe_job(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """State, attempts, times, bill and result."""
    space_id, job_id = await _named(deps, parameters)
    return {"Job": job_row(await deps.jobs.show(space_id, job_id), space_id)}


async def yunhan_cancel_job(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """The state in the answer tells whether it was in time: a job that is over stays as it is."""
    space_id, job_id = await _named(deps, parameters)
    return {"Job": job_row(await deps.jobs.cancel(space_id, job_id), space_id)}


async def yunhan_list_jobs(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """Newest first. `State`: one or several; `FromDate`, `ToDate`: of the acceptance, ms since 1970."""
    page = parameters.page(size_max=_PAGE_SIZE_MAX)
    space_id = parameters.needed("SpaceId")
    await deps.spaces.get(space_id)
    entries, total = await deps.jobs.find(
        _query(parameters, space_id), offset=page.offset, limit=page.size
    )
    return {"DataList": [brief_row(entry) for entry in entries], "Paginator": page.paginator(total)}


async def yunhan_replay_job(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """`JobId` of the answer is the new job's; each call makes another one, but with `Once` (true) all within
    24 hours give the same."""
    space_id, job_id = await _named(deps, parameters)
    accepted = await deps.jobs.replay(space_id, job_id, once=parameters.boolean("Once"))
    return {"JobId": accepted.job_id, "ReplayOf": job_id, "First": accepted.first}


async def yunhan_drop_job(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """Only of a job that is over."""
    space_id, job_id = await _named(deps, parameters)
    await deps.jobs.drop(space_id, job_id)
    return {"JobId": job_id}


async def yunhan_check_ledger(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """Of one space or (no `SpaceId`) of all. `Accepted`: job ids that a producer was given, one a line."""
    space_id = parameters.text("SpaceId") or None
    if space_id is not None:
        await deps.spaces.get(space_id)
    report = await deps.jobs.check(
        _query(parameters, space_id),
        accepted=(parameters.text("Accepted") or "").splitlines(),
        tolerance_s=parameters.integer("ToleranceS", lowest=0, highest=86_400) or 0,
        spaces=_all_spaces(deps) if space_id is None else _one_space(space_id),
    )
    return {
        "Sound": report.sound,
        "States": {state.value: report.states.get(state, 0) for state in JobState},
        "Flaws": list(report.flaws),
        "FlawsCount": report.flaws_count,
        "Accepted": report.accepted,
        "Dropped": report.dropped,
        "Missing": list(report.missing),
        "MissingCount": report.missing_count,
        "Queued": list(report.queued),
        "QueuedCount": report.queued_count,
        "Unended": list(report.unended),
        "UnendedCount": report.unended_count,
        "Double": list(report.double),
        "DoubleCount": report.double_count,
    }


def _query(parameters: Parameters, space_id: str | None) -> LedgerQuery:
    return LedgerQuery(
        space_id=space_id,
        function=parameters.text("Name") or None,
        states=_states(parameters),
        from_ms=parameters.integer("FromDate", lowest=0),
        to_ms=parameters.integer("ToDate", lowest=0),
    )


def _states(parameters: Parameters) -> frozenset[JobState] | None:
    given = parameters.texts("State")
    for each in given:
        if each.upper() not in _STATES:
            names = ", ".join(_STATES).lower()
            raise InvalidParameterError("State", f"State is of {names}, not {each[:32]!r}")
    return frozenset(_STATES[each.upper()] for each in given) or None


async def _named(deps: ManagementDeps, parameters: Parameters) -> tuple[str, str]:
    """The space and the job that a call is about. Raises NotFoundError."""
    job_id = parameters.needed("JobId")
    space_id = parameters.text("SpaceId")
    if space_id:
        return space_id, job_id
    return await deps.jobs.space_of(job_id, _all_spaces(deps)), job_id


async def _one_space(space_id: str) -> AsyncIterator[str]:
    yield space_id


async def _all_spaces(deps: ManagementDeps) -> AsyncIterator[str]:
    offset = 0
    while True:
        spaces, _ = await deps.spaces.page(offset=offset, limit=_SPACES_PAGE)
        for space in spaces:
            yield space.space_id
        if len(spaces) < _SPACES_PAGE:
            return
        offset += len(spaces)


ACTIONS = {
    "YunhanInvokeAsync": yunhan_invoke_async,
    "YunhanDescribeJob": yunhan_describe_job,
    "YunhanCancelJob": yunhan_cancel_job,
    "YunhanListJobs": yunhan_list_jobs,
    "YunhanReplayJob": yunhan_replay_job,
    "YunhanDropJob": yunhan_drop_job,
    "YunhanCheckLedger": yunhan_check_ledger,
}
