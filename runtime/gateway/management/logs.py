"""Actions on function logs: the original's, and ours with outcome and bill."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.invocations import bill_row
from runtime.gateway.management.parameters import Parameters
from runtime.messages import InvocationRecord
from runtime.ports import RecordQuery
from sandbox.api import LogLevel, OutcomeKind

_PAGE_SIZE_MAX = 100
"""One record may hold `log_max_bytes` of text."""

_STATUSES = {"SUCCESS": True, "FAIL": False}
_LEVELS = {level.value.upper(): level for level in LogLevel}
_ORDERS = {"DESC": True, "ASC": False}


async def list_function_log(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """Besides the original's parameters: `Level` (invocations with such a line) and `Order` (desc or
    asc by start)."""
    return await _page(deps, parameters, _row)


async def yunhan_list_function_log(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """The same question, answered with what the original lacks."""
    return await _page(deps, parameters, _full_row)


async def _page(
    deps: ManagementDeps,
    parameters: Parameters,
    row: Callable[[InvocationRecord], Mapping[str, Any]],
) -> Mapping[str, Any]:
    page = parameters.page(size_max=_PAGE_SIZE_MAX)
    query = RecordQuery(
        space_id=parameters.needed("SpaceId"),
        function=parameters.text("Name") or None,
        request_id=parameters.text("LogRequestId") or None,
        succeeded=parameters.one_of("Status", _STATUSES),
        level=parameters.one_of("Level", _LEVELS),
        from_ms=parameters.integer("FromDate", lowest=0),
        to_ms=parameters.integer("ToDate", lowest=0),
    )
    newest_first = parameters.one_of("Order", _ORDERS)
    records, total = await deps.logs.page(
        query, offset=page.offset, limit=page.size, newest_first=newest_first is not False
    )
    return {
        "DataList": [row(record) for record in records],
        "Paginator": page.paginator(total),
    }


def _row(record: InvocationRecord) -> dict[str, Any]:
    """Three parallel lists, one item per line; times in ms as text (spec: management API §5)."""
    return {
        "SpaceId": record.space_id,
        "FunctionName": record.function,
        "RequestId": record.request_id,
        "Status": "SUCCESS" if record.kind is OutcomeKind.OK else "FAIL",
        "Timestamps": [str(line.time_ms) for line in record.lines],
        "Levels": [line.level.value.upper() for line in record.lines],
        "Contents": [line.text for line in record.lines],
    }


def _full_row(record: InvocationRecord) -> dict[str, Any]:
    return {
        **_row(record),
        "StartedAt": str(record.started_ms),
        "Outcome": record.kind.value,
        "Source": record.source.value,
        "DeploymentId": record.deployment_id,
        "ParentRequestId": record.parent_request_id or "",
        "LinesCut": record.lines_cut,
        "Bill": bill_row(record.bill),
    }


ACTIONS = {
    "ListFunctionLog": list_function_log,
    "YunhanListFunctionLog": yunhan_list_function_log,
}
