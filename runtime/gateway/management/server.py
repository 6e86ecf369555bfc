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
    """Version, isolation, workers, what does not work, and every setting of this program with its value,
    source and unit; secrets are masked."""
    server, problems = await deps.server(), await deps.problems()
    return {
        "Version": server.version,
        "Rung": server.rung,
        "Isolates": server.isolates,
        "NodeVersions": list(server.node_majors),
        "Workers": [
            {
                "WorkerId": worker.worker_id,
                "Version": worker.version,
                "Rung": worker.rung,
                "Isolates": worker.isolates,
                "NodeVersions": list(worker.node_majors),
                "Slots": worker.slots,
            }
            for worker in server.workers
        ],
        "Problems": [{"Part": part, "Text": text} for part, text in sorted(problems.items())],
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
