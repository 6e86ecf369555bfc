"""Our own actions on what a function says about its asynchronous jobs; the original has none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.parameters import Parameters
from runtime.messages import Function
from runtime.services.async_terms import terms_for
from runtime.services.function_async import AsyncChange


async def yunhan_update_function_async(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """`Reset` (true) goes back to the installation's defaults, then what is given is set."""
    change = AsyncChange(
        reset=parameters.boolean("Reset"),
        attempts_max=parameters.integer("Attempts"),
        backoff_first_s=_seconds(parameters, "BackoffMs"),
        backoff_longest_s=_seconds(parameters, "BackoffLongestMs"),
        retry_function=parameters.flag("RetryErrors"),
        http=parameters.flag("Http"),
    )
    space_id, name = parameters.needed("SpaceId"), parameters.needed("Name")
    function = await deps.function_async.update(space_id, name, change)
    return {"Name": name, **async_row(deps, function)}


async def yunhan_describe_function_async(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """What holds for the function's next job, and what of it the function says itself."""
    space_id, name = parameters.needed("SpaceId"), parameters.needed("Name")
    function = await deps.function_async.get(space_id, name)
    return {"Name": name, **async_row(deps, function)}


def async_row(deps: ManagementDeps, function: Function) -> dict[str, Any]:
    """What holds for its next job; `Own` names what of it is not the installation's default."""
    config = function.asynchronous
    terms = terms_for(config, deps.function_async.defaults, accepted_ms=0)
    own = {
        "Attempts": config.attempts_max,
        "BackoffMs": config.backoff_first_s,
        "BackoffLongestMs": config.backoff_longest_s,
    }
    return {
        "Attempts": terms.attempts_max,
        "BackoffMs": round(terms.backoff_first_s * 1000),
        "BackoffLongestMs": round(terms.backoff_longest_s * 1000),
        "RetryErrors": terms.retry_function,
        "Http": config.http,
        "Own": [name for name, value in own.items() if value is not None],
    }


def _seconds(parameters: Parameters, name: str) -> float | None:
    value_ms = parameters.integer(name, lowest=0)
    return None if value_ms is None else value_ms / 1000


ACTIONS = {
    "YunhanUpdateFunctionAsync": yunhan_update_function_async,
    "YunhanDescribeFunctionAsync": yunhan_describe_function_async,
}
