"""Actions on functions (spec: management API §4 and §5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.gateway.management.answers import iso
from runtime.gateway.management.deployments import deployment_row
from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.function_async import async_row
from runtime.gateway.management.parameters import Parameters
from runtime.messages import ASYNC_DEFAULTS, Function
from runtime.services.function_rules import node_major
from runtime.services.functions import FunctionChange


async def create_function(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """A function without code; `InstanceConcurrency` and triggers are accepted here too."""
    space_id = parameters.needed("SpaceId")
    function = await deps.functions.create(space_id, parameters.needed("Name"), _wanted(parameters))
    spec = _spec(function)
    return {
        "Name": function.name,
        "Desc": function.desc,
        "CreatedAt": iso(function.created_ms),
        "ModifiedAt": iso(function.modified_ms),
        # a text in this action only
        "Spec": {**spec, "InstanceConcurrency": str(spec["InstanceConcurrency"])},
    }


async def update_function(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """Only the parameters that are given change something."""
    space_id = parameters.needed("SpaceId")
    name = parameters.needed("Name")
    return _row(await deps.functions.update(space_id, name, _wanted(parameters)))


async def describe_function(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """The function and its live deployment; no `Deployment` before the first one. `Async` is ours,
    and there when the function says something about its asynchronous jobs."""
    space_id = parameters.needed("SpaceId")
    function = await deps.functions.get(space_id, parameters.needed("Name"))
    live = await deps.deployments.live_of(space_id, function)
    answer: dict[str, Any] = {"Function": _row(function)}
    if function.asynchronous != ASYNC_DEFAULTS:
        answer["Async"] = async_row(deps, function)
    if live is not None:
        answer["Deployment"] = deployment_row(deps, live)
    return answer


async def list_function(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """By name; `FilterBy` is a part of the name, in any case."""
    page = parameters.page()
    functions, total = await deps.functions.page(
        parameters.needed("SpaceId"),
        name_part=parameters.text("FilterBy") or "",
        offset=page.offset,
        limit=page.size,
    )
    rows = []
    for function in functions:
        row = _row(function)
        del row["TimingTriggerUserPayload"]  # not part of this action's rows
        rows.append(row)
    return {"DataList": rows, "Paginator": page.paginator(total)}


async def delete_function(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """With its deployments; its logs stay until they are old."""
    await deps.functions.delete(parameters.needed("SpaceId"), parameters.needed("Name"))
    return {}


def _wanted(parameters: Parameters) -> FunctionChange:
    return FunctionChange(
        desc=parameters.text("Desc"),
        runtime=parameters.text("Runtime") or None,
        timeout_s=parameters.integer("Timeout"),
        memory_mb=parameters.integer("Memory"),
        concurrency=parameters.integer("InstanceConcurrency"),
        http_path=parameters.text("HttpTriggerPath"),
        timer_cron=parameters.text("TimingTriggerConfig"),
        timer_payload=parameters.text("TimingTriggerUserPayload"),
    )


def _row(function: Function) -> dict[str, Any]:
    return {
        "Name": function.name,
        "Desc": function.desc,
        "CreatedAt": iso(function.created_ms),
        "ModifiedAt": iso(function.modified_ms),
        "HttpTriggerPath": function.http_path,
        "TimingTriggerConfig": function.timer_cron,
        "TimingTriggerUserPayload": function.timer_payload,
        "Spec": _spec(function),
    }


def _spec(function: Function) -> dict[str, Any]:
    return {
        "Runtime": f"Node.js {node_major(function.runtime)}",
        "Memory": f"{function.memory_mb} MB",
        "Timeout": f"{function.timeout_s}s",
        "InstanceConcurrency": function.concurrency,
    }


ACTIONS = {
    "CreateFunction": create_function,
    "UpdateFunction": update_function,
    "DescribeFunction": describe_function,
    "ListFunction": list_function,
    "DeleteFunction": delete_function,
}
