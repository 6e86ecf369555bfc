"""`yunhan up`: everything in one process."""

from __future__ import annotations

import click

from runtime.cli import programs


@click.command(short_help="Run everything in this process, until Ctrl-C.")
def up() -> None:
    """Run gateway, worker and embedded stores in this process, until Ctrl-C.

    `yunhan config show` lists what can be set.
    """
    programs.run("up")
