"""Our own actions on the environment variables of functions; the original has none (spec: functions (a)).

Values are answered only when asked for. Send them by POST: a query string may end up in somebody's log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from runtime.errors import InvalidParameterError
from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.parameters import Parameters
from runtime.services.function_env import EnvChange
from runtime.services.function_env_rules import env_bytes

T = TypeVar("T")


async def yunhan_update_function_env(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """`Clear` (true) removes all, `Unset` (JSON array of names) some, `Set` (JSON object of texts) sets
    some, in this order. Without any of them nothing changes."""
    space_id, name = parameters.needed("SpaceId"), parameters.needed("Name")
    unset = _json(parameters, "Unset", list, "array of names")
    if not all(isinstance(each, str) for each in unset):
        raise InvalidParameterError("Unset", "Unset is a JSON array of names")
    change = EnvChange(
        clear=parameters.boolean("Clear"),
        unset=frozenset(unset),
        set=_json(parameters, "Set", dict, "object of texts"),
    )
    if change.clear and change.unset:
        raise InvalidParameterError("Unset", "Unset and Clear exclude each other")
    return _answer(deps, name, await deps.function_env.update(space_id, name, change))


async def yunhan_describe_function_env(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """The variables by name; with `ShowValues` (true) their values too."""
    space_id, name = parameters.needed("SpaceId"), parameters.needed("Name")
    show = parameters.boolean("ShowValues")
    return _answer(deps, name, await deps.function_env.get(space_id, name), show_values=show)


def _answer(
    deps: ManagementDeps, name: str, env: Mapping[str, str], *, show_values: bool = False
) -> dict[str, Any]:
    limits = deps.function_env.limits
    return {
        "Name": name,
        "Variables": [
            {"Name": each, "Value": value} if show_values else {"Name": each}
            for each, value in sorted(env.items())
        ],
        "Bytes": env_bytes(env),
        "VariablesMax": limits.variables_max,
        "BytesMax": limits.max_bytes,
    }


def _json(parameters: Parameters, name: str, kind: type[T], what: str) -> T:
    """JSON text of that kind; absent or empty = an empty one. Errors quote nothing of it."""
    text = parameters.text(name)
    if not text:
        return kind()
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except _RepeatedError:
        raise InvalidParameterError(name, f"{name} has a name more than once") from None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise InvalidParameterError(name, f"{name} is JSON text of an {what}")
    return value


class _RepeatedError(Exception):
    """Two readers could take different ones."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RepeatedError
    return found


ACTIONS = {
    "YunhanUpdateFunctionEnv": yunhan_update_function_env,
    "YunhanDescribeFunctionEnv": yunhan_describe_function_env,
}
