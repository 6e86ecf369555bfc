"""Which actions exist: the one table of names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from runtime.gateway.management import (
    cors,
    database_transfer,
    databases,
    deployments,
    egress,
    files,
    function_async,
    function_env,
    functions,
    http_triggers,
    invocations,
    jobs,
    logs,
    platforms,
    server,
    service_policies,
    spaces,
    timers,
    users,
)
from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.parameters import Parameters

Action = Callable[[ManagementDeps, Parameters], Awaitable[Mapping[str, Any]]]
"""Answers without `RequestId`, or raises YunhanError or ApiError."""

ACTIONS: Mapping[str, Action] = {
    **spaces.ACTIONS,
    **functions.ACTIONS,
    **function_env.ACTIONS,
    **function_async.ACTIONS,
    **egress.ACTIONS,
    **http_triggers.ACTIONS,
    **databases.ACTIONS,
    **service_policies.ACTIONS,
    **database_transfer.ACTIONS,
    **deployments.ACTIONS,
    **files.ACTIONS,
    **platforms.ACTIONS,
    **users.ACTIONS,
    **cors.ACTIONS,
    **invocations.ACTIONS,
    **jobs.ACTIONS,
    **logs.ACTIONS,
    **timers.ACTIONS,
    **server.ACTIONS,
}
