"""What this server is: our own action, for `yunhan doctor`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.parameters import Parameters
from runtime.settings import describe


async def yunhan_describe_server(
    deps: ManagementDeps, _parameters: Parameters
) -> Mapping[str, Any]:
    """Version, isolation and every setting with its value, source and unit; secrets are masked."""
    return {
        "Version": deps.server.version,
        "Rung": deps.server.rung,
        "Isolates": deps.server.isolates,
        "NodeVersions": list(deps.server.node_majors),
        "Settings": [
            {
                "Name": row.variable,
                "Value": row.value,
                "Source": row.source,
                "Unit": row.unit,
                "Text": row.text,
            }
            for row in describe(deps.settings)
        ],
    }


ACTIONS = {"YunhanDescribeServer": yunhan_describe_server}
