"""`yunhan ledger`: whether what is known of asynchronous jobs can be true."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any, TextIO

import click

from runtime.cli.client import ManagementClient, Parameter
from runtime.cli.jobs import in_json
from runtime.cli.lookup import find_space_id
from runtime.cli.options import json_option, remote_command
from runtime.cli.output import note, print_fields, print_json

CHECK_TIMEOUT_S = 900.0
IDS_PER_CALL = 50_000
"""Of a producer's log: a call's body is bounded."""
TOLERANCE_DEFAULT_S = 60
_LISTED_MAX = 100


@click.group
def ledger() -> None:
    """The ledger of asynchronous jobs."""


@ledger.command
@click.option("--space", metavar="ID|NAME", help="Only of this space.")
@click.option(
    "--accepted",
    type=click.File("r"),
    metavar="FILE",
    help="A producer's log, one job id a line; - is stdin. Each must be there, and over;"
    " what waits in the queue is told from what is lost.",
)
@click.option(
    "--tolerance",
    type=click.IntRange(0, 86_400),
    default=TOLERANCE_DEFAULT_S,
    show_default=True,
    metavar="S",
    help="How long ago the lease of a running job may have ended.",
)
@json_option
@remote_command
def check(
    client: ManagementClient,
    space: str | None,
    accepted: TextIO | None,
    tolerance: int,
    as_json: bool,
) -> None:
    """Check that every job has a possible history, and each accepted one exactly one end.

    Exit code 1 when not: also while accepted jobs still wait or run.
    """
    parameters: dict[str, Parameter] = {
        "SpaceId": find_space_id(client, space) if space else None,
        "ToleranceS": tolerance,
    }
    report = _ask(client, parameters, accepted or ())
    if as_json:
        print_json(report)
    else:
        _show(report)
    sys.exit(0 if report["sound"] else 1)


def _ask(
    client: ManagementClient, parameters: dict[str, Parameter], lines: Iterable[str]
) -> dict[str, Any]:
    """Large logs in several calls, each of which looks at the whole ledger."""
    times = Counter(line.strip() for line in lines if line.strip())
    ids = iter(times)
    report: dict[str, Any] | None = None
    while (part := list(itertools.islice(ids, IDS_PER_CALL))) or report is None:
        answer = client.call(
            "YunhanCheckLedger",
            {**parameters, "Accepted": "\n".join(part)},
            timeout_s=CHECK_TIMEOUT_S,
        )
        told = in_json(answer)
        del told["requestId"]
        report = told if report is None else _joined(report, told)
    double = [job_id for job_id, count in times.items() if count > 1]
    return {**report, "double": double[:_LISTED_MAX], "doubleCount": len(double)}


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Of two parts of a log; what is said of the ledger itself is the later one's."""
    joined = {**other, "sound": one["sound"] and other["sound"]}
    for name in ("accepted", "dropped"):
        joined[name] = one[name] + other[name]
    for name in ("missing", "queued", "unended"):
        joined[name] = [*one[name], *other[name]][:_LISTED_MAX]
        joined[f"{name}Count"] = one[f"{name}Count"] + other[f"{name}Count"]
    return joined


def _show(report: dict[str, Any]) -> None:
    fields = {state: str(count) for state, count in report["states"].items() if count}
    print_fields({"Jobs": str(sum(report["states"].values())), **fields})
    _tell_list("flaws", report["flawsCount"], report["flaws"])
    if report["accepted"]:
        dropped = f", {report['dropped']} were dropped" if report["dropped"] else ""
        print_fields({"Accepted": f"{report['accepted']} job ids were compared{dropped}"})
        _tell_list("are missing", report["missingCount"], report["missing"])
        _tell_list("wait in the queue", report["queuedCount"], report["queued"])
        _tell_list("are not over", report["unendedCount"], report["unended"])
        _tell_list(
            "are in the file more than once (repeated idempotency keys?)",
            report["doubleCount"],
            report["double"],
        )
    note("The ledger is sound." if report["sound"] else "The ledger is NOT sound.")


def _tell_list(what: str, count: int, items: list[str]) -> None:
    if not count:
        return
    click.echo(f"{count} {what}:")
    for item in items:
        click.echo(f"  {item}")
    if count > len(items):
        click.echo(f"  and {count - len(items)} more")
