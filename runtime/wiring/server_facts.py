"""What an installation's workers are together, for the management API."""

from __future__ import annotations

from importlib.metadata import version

from runtime.gateway.management.deps import ServerFacts
from runtime.ports import Clock, WorkerRoster
from runtime.services.worker_roster import present_workers


async def server_facts(roster: WorkerRoster, clock: Clock) -> ServerFacts:
    """Of the workers that are there now; a job may get to any of them. Raises UnavailableError."""
    workers = await present_workers(roster, clock)
    majors = [set(worker.node_majors) for worker in workers]
    return ServerFacts(
        version=version("yunhan"),
        rung=",".join(sorted({worker.rung for worker in workers})),
        isolates=bool(workers) and all(worker.isolates for worker in workers),
        node_majors=sorted(set.intersection(*majors)) if majors else (),
        workers=workers,
    )
