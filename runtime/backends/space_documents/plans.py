"""A plan (`explain`) as its caller may see it: without the server's state, our database's name and owners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from runtime.documents.hidden import OWNER_FIELD

_LEFT_OUT: Final = frozenset(
    {"$clusterTime", "$db", "command", "host", "ok", "operationTime", "port", "serverInfo"}
    | {"serverParameters", "shards", "version"}
)
"""At any depth. `command` repeats what was sent, and where to."""


def shown_plan(plan: Any, database: str) -> Any:
    """A copy; names of collections (`namespace`, `ns`, messages) lose the `database` before them. Pure."""
    if isinstance(plan, Mapping):
        return {
            key: shown_plan(each, database)
            for key, each in plan.items()
            if key not in _LEFT_OUT and OWNER_FIELD not in key
        }
    if isinstance(plan, list):
        return [shown_plan(each, database) for each in plan if not _removes_owner(each)]
    return plan.replace(f"{database}.", "") if isinstance(plan, str) else plan


def _removes_owner(stage: Any) -> bool:
    """The stage that we put in."""
    return isinstance(stage, Mapping) and stage.get("$unset") == OWNER_FIELD
