"""`yunhan doctor`: what is here, what is missing, and what to do about it."""

from __future__ import annotations

import dataclasses
import sys

import click

from runtime.cli.connection import read_settings
from runtime.cli.options import json_option
from runtime.cli.output import print_json

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command
@json_option
def doctor(as_json: bool) -> None:
    """Examine this machine and say what Yunhan finds. Exit code 1 when something is wrong."""
    from runtime.cli.doctor_checks import State, examine

    findings = list(examine(read_settings(pass_over_unknown=True)))
    wrong = any(finding.state is State.PROBLEM for finding in findings)
    if as_json:
        rows = [dataclasses.asdict(finding) for finding in findings]
        print_json({"ok": not wrong, "findings": rows})
    else:
        for finding in findings:
            click.secho(f"{finding.state:<8}", fg=_COLOURS[finding.state], nl=False)
            click.echo(f"{finding.name}: {finding.text}")
            if finding.next_step:
                click.echo(f"{'':<8}-> {finding.next_step}")
    sys.exit(1 if wrong else 0)
