"""`yunhan worker`: runs functions, nothing else."""

from __future__ import annotations

import click

from runtime.cli import programs


@click.command
def worker() -> None:
    """Take jobs from the queue and run functions, until Ctrl-C.

    Needs the same shared parts as `yunhan gateway`. Tells its health and metrics at
    YUNHAN_WORKER_HTTP.
    """
    programs.run("worker")
