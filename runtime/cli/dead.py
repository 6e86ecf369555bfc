"""`yunhan dead`: jobs whose attempts are used up, with the reason of the last one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import click

from runtime.cli.client import ManagementClient, Parameter
from runtime.cli.errors import RemoteError
from runtime.cli.jobs import (
    call_on_job,
    its_space_option,
    job_argument,
    limit_option,
    list_jobs,
    name_option,
    of_job,
    show_job,
)
from runtime.cli.lookup import find_space_id
from runtime.cli.options import json_option, remote_command, space_option, yes_option
from runtime.cli.output import note, print_json

_REFUSALS_MAX, _REFUSED_WAIT_S = 30, 1.0

_one_job = click.argument("job_id", metavar="[JOB]", required=False)
_all_option = click.option("--all", "every", is_flag=True, help="Every one of --space.")


@click.group
def dead() -> None:
    """Dead jobs: list, show, replay, drop."""


@dead.command("list")
@space_option
@name_option
@limit_option
@json_option
@remote_command
def list_(
    client: ManagementClient, space: str, name: str | None, limit: int, as_json: bool
) -> None:
    """List dead jobs, newest first, with the reason of the last attempt."""
    list_jobs(client, space, limit, as_json=as_json, Name=name, State=["dead"])


@dead.command
@job_argument
@its_space_option
@json_option
@remote_command
def show(client: ManagementClient, job_id: str, space: str | None, as_json: bool) -> None:
    """Show a dead job with all its attempts. Exit code 1 when it is not dead."""
    told = call_on_job(client, "YunhanDescribeJob", job_id, space)
    if as_json:
        print_json(told)
    else:
        show_job(told)
        if told["state"] != "dead":
            note(f"Job {job_id} is not dead.")
    sys.exit(0 if told["state"] == "dead" else 1)


@dead.command
@_one_job
@its_space_option
@name_option
@_all_option
@click.option("--drop", "drops", is_flag=True, help="Forget each one whose replay was accepted.")
@json_option
@remote_command
def replay(  # noqa: PLR0917  # click passes options by name
    client: ManagementClient,
    job_id: str | None,
    space: str | None,
    name: str | None,
    every: bool,
    drops: bool,
    as_json: bool,
) -> None:
    """Make a new job of JOB, whatever its end was, or of all dead ones: the same arguments, the function's
    code as it is now.

    With --all a job that was replayed by --all within 24 hours is not replayed again; a replay that died
    itself is a dead job like others.
    """
    _check_usage(job_id, space, name, every=every)
    told: list[dict[str, Any]] = []

    def one(parameters: dict[str, Parameter]) -> None:
        answer = client.call("YunhanReplayJob", {**parameters, "Once": every})
        told.append(
            {
                "jobId": answer["JobId"],
                "replayOf": str(parameters["JobId"]),
                "first": bool(answer["First"]),
            }
        )
        if drops:
            client.call("YunhanDropJob", parameters)

    if job_id is not None:
        one(of_job(client, job_id, space))
        if as_json:
            print_json(told[0])
        else:
            click.echo(told[0]["jobId"])
            note(f"Job {job_id} is replayed.")
        return
    left = _for_all(client, str(space), name, one)
    _tell("replayed", told, left, as_json=as_json)


@dead.command
@_one_job
@its_space_option
@name_option
@_all_option
@yes_option
@json_option
@remote_command
def drop(  # noqa: PLR0917  # click passes options by name
    client: ManagementClient,
    job_id: str | None,
    space: str | None,
    name: str | None,
    every: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Forget JOB, whatever its end was, or all dead jobs of a space or function, with their arguments."""
    _check_usage(job_id, space, name, every=every)
    told: list[dict[str, Any]] = []

    def one(parameters: dict[str, Parameter]) -> None:
        client.call("YunhanDropJob", parameters)
        told.append({"jobId": str(parameters["JobId"])})

    if job_id is not None:
        one(of_job(client, job_id, space))
        if as_json:
            print_json({"jobId": job_id, "dropped": True})
        else:
            note(f"Job {job_id} is dropped.")
        return
    if not yes:
        click.confirm("Forget all these dead jobs and their arguments?", abort=True, err=True)
    left = _for_all(client, str(space), name, one)
    _tell("dropped", told, left, as_json=as_json)


def _check_usage(job_id: str | None, space: str | None, name: str | None, *, every: bool) -> None:
    if (job_id is None) != every:
        raise click.UsageError("say which job, or --all")
    if every and not space:
        raise click.UsageError("--all needs --space")
    if name and not every:
        raise click.UsageError("--function goes with --all")


def _for_all(
    client: ManagementClient,
    space: str,
    name: str | None,
    one: Callable[[dict[str, Parameter]], None],
) -> list[dict[str, str]]:
    """Those that are dead now; returns the ones that were left, with the reason."""
    space_id = find_space_id(client, space)
    dead_jobs: dict[str, Parameter] = {"SpaceId": space_id, "Name": name, "State": ["dead"]}
    ids = [str(item["JobId"]) for item in client.items("YunhanListJobs", dead_jobs, key="DataList")]
    left: list[dict[str, str]] = []
    shows = sys.stderr.isatty()
    for number, job_id in enumerate(ids, 1):
        try:
            _patiently(lambda job_id=job_id: one({"SpaceId": space_id, "JobId": job_id}))  # type: ignore[misc]
        except RemoteError as error:
            left.append({"jobId": job_id, "code": error.code, "message": error.told})
        if shows:
            click.echo(f"\r{number} of {len(ids)}", nl=number == len(ids), err=True)
    return left


def _patiently(work: Callable[[], None]) -> None:
    """Again while the program takes no jobs, for half a minute."""
    for _ in range(_REFUSALS_MAX):
        try:
            return work()
        except RemoteError as error:
            if error.code != "Throttling.Api.Concurrency":
                raise
            time.sleep(_REFUSED_WAIT_S)
    return work()


def _tell(
    verb: str, told: list[dict[str, Any]], left: list[dict[str, str]], *, as_json: bool
) -> None:
    """Ends the command: exit code 1 when some are left."""
    if as_json:
        print_json({"jobs": told, "left": left})
    else:
        before = sum(not each.get("first", True) for each in told)
        note(f"{len(told) - before} dead jobs are {verb}.")
        if before:
            note(f"{before} more were {verb} before.")
        for each in left:
            note(f"{each['jobId']} is left: {each['message']} ({each['code']})")
    sys.exit(1 if left else 0)
