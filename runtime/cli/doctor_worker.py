"""Whether the worker that runs here takes jobs: it says so at YUNHAN_WORKER_HTTP."""

from __future__ import annotations

from runtime.cli.client import is_ready
from runtime.cli.doctor_findings import Finding, State
from runtime.cli.errors import UnreachableError
from runtime.data_dir import Running
from runtime.settings import Settings

_REST = "ask a gateway for the rest (`yunhan doctor` there)"


def check_worker(settings: Settings, worker: Running) -> Finding:
    """`worker` is what the data directory says, also after its program was killed."""
    runs = f"a worker runs here (process {worker.pid})"
    if not settings.worker_http:
        return Finding(
            name="program",
            state=State.OK,
            text=f"{runs}; whether it is ready it tells nowhere (YUNHAN_WORKER_HTTP is empty); {_REST}",
        )
    endpoint = f"http://{settings.worker_http}"
    try:
        ready = is_ready(endpoint)
    except UnreachableError:
        return Finding(
            name="program",
            state=State.PROBLEM,
            text=f"a worker was started here (process {worker.pid}), but nothing answers at {endpoint}",
            next_step="It was killed, hangs, or has another YUNHAN_WORKER_HTTP than this command: see its"
            " log.",
        )
    if not ready:
        return Finding(
            name="program",
            state=State.PROBLEM,
            text=f"{runs} but is not ready",
            next_step=f"{endpoint}/readyz says which part, the log of the worker why.",
        )
    return Finding(name="program", state=State.OK, text=f"{runs}, ready at {endpoint}; {_REST}")
