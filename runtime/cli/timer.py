"""`yunhan timer`: the timers of a space."""

from __future__ import annotations

import click

from runtime.cli.client import ManagementClient
from runtime.cli.function_timer import list_timers, moment
from runtime.cli.lookup import find_space_id
from runtime.cli.options import json_option, remote_command, space_option
from runtime.cli.output import note, print_json, print_table

_NEXT = 3


@click.group
def timer() -> None:
    """Functions that run by the clock. `yunhan function set NAME --timer` makes one of a function."""


@timer.command("list")
@space_option
@click.option(
    "--next",
    "count",
    type=click.IntRange(min=1, max=100),
    default=_NEXT,
    show_default=True,
    metavar="N",
    help="How many next ticks to show.",
)
@json_option
@remote_command
def list_(client: ManagementClient, space: str, count: int, as_json: bool) -> None:
    """List timers with their next ticks, the last one, and how many became a job (fired), came while no
    program ran them (missed), or while the space was paused or the function had no code (skipped)."""
    rows = list_timers(client, find_space_id(client, space), Next=count)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("Function", "Timer (UTC+8)", "Last tick", "Fired", "Missed", "Skipped", "Next ticks"),
        [
            (
                row["function"],
                row["cron"],
                moment(row["lastTick"]) if row["lastTick"] else "none",
                str(row["fired"]),
                str(row["missed"]),
                str(row["skipped"]),
                ", ".join(map(moment, row["next"])),
            )
            for row in rows
        ],
    )
    for row in rows:
        if not row["deployed"]:
            note(f"Function {row['function']} has no code: its ticks are skipped.")
