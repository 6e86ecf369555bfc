"""`yunhan doctor`: what is here, what is missing, and what to do about it."""

from __future__ import annotations

import dataclasses
import platform
import sys
from collections.abc import Mapping

import click

from runtime.cli.connection import read_settings
from runtime.cli.options import json_option
from runtime.cli.output import print_json

_PLATFORMS = {
    "Debian, Ubuntu": "Linux",
    "Fedora, RHEL": "Linux",
    "macOS": "Darwin",
    "Windows": "Windows",
}
"""Which ways are for one platform only, as `platform.system()` calls it."""
_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command
@click.option("--verbose", is_flag=True, help="Also what is to be done on other platforms.")
@json_option
def doctor(verbose: bool, as_json: bool) -> None:
    """Examine this machine and say what Yunhan finds. Exit code 1 when something is wrong."""
    import logging

    import structlog

    # The checks start parts of the program, whose log would stand among the findings.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    from runtime.cli.doctor_checks import examine
    from runtime.cli.doctor_findings import State

    findings = list(examine(read_settings(pass_over_unknown=True)))
    wrong = any(finding.state is State.PROBLEM for finding in findings)
    if as_json:
        rows = [dataclasses.asdict(finding) for finding in findings]
        print_json({"ok": not wrong, "findings": rows})
    else:
        for finding in findings:
            click.secho(f"{finding.state:<8}", fg=_COLOURS[finding.state], nl=False)
            click.echo(f"{finding.name}: {finding.text}")
            for detail in finding.details:
                click.echo(f"{'':<11}{detail}")
            if finding.next_step:
                click.echo(f"{'':<8}-> {finding.next_step}")
            for name, way in _ways_here(finding.ways, verbose=verbose).items():
                click.echo(f"{'':<11}{name}: {way}")
    sys.exit(1 if wrong else 0)


def _ways_here(ways: Mapping[str, str], *, verbose: bool) -> dict[str, str]:
    here = platform.system()
    return {
        name: way for name, way in ways.items() if verbose or _PLATFORMS.get(name, here) == here
    }
