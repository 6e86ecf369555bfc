"""`yunhan config`: the settings of this environment."""

from __future__ import annotations

import dataclasses

import click

from runtime.cli.connection import read_settings
from runtime.cli.options import json_option
from runtime.cli.output import note, print_json, print_table


@click.group
def config() -> None:
    """Settings (environment variables YUNHAN_*)."""


@config.command
@json_option
def show(as_json: bool) -> None:
    """List every setting with its value, unit, source and meaning.

    As this command's environment has them; a program that runs was started in its own.
    """
    from runtime.settings import describe, unknown_in

    rows = list(describe(read_settings(pass_over_unknown=True)))
    for problem in unknown_in():
        note(f"problem: {problem}")
    if as_json:
        print_json([dataclasses.asdict(row) for row in rows])
        return
    print_table(
        ("Setting", "Value", "Unit", "Source", "Meaning"),
        [(row.variable, row.value, row.unit, row.source, row.text) for row in rows],
        below=3,
    )
    note("These are the settings of this command's environment; a running program has its own.")
