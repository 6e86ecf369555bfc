"""`yunhan job`: asynchronous jobs, whoever asked for them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from runtime.cli.client import ManagementClient
from runtime.cli.jobs import (
    STATES,
    call_on_job,
    its_space_option,
    job_argument,
    limit_option,
    list_jobs,
    name_option,
    show_job,
)
from runtime.cli.options import Since, json_option, remote_command, space_option
from runtime.cli.output import note, print_json


@click.group
def job() -> None:
    """Asynchronous jobs: list, show, cancel. `yunhan invoke --async` makes one."""


@job.command
@job_argument
@its_space_option
@json_option
@remote_command
def show(client: ManagementClient, job_id: str, space: str | None, as_json: bool) -> None:
    """Show a job's state, attempts, times, bill and result."""
    told = call_on_job(client, "YunhanDescribeJob", job_id, space)
    if as_json:
        print_json(told)
    else:
        show_job(told)


@job.command
@job_argument
@its_space_option
@json_option
@remote_command
def cancel(client: ManagementClient, job_id: str, space: str | None, as_json: bool) -> None:
    """Cancel a job. One that runs is stopped when its worker hears of it, within a third of
    YUNHAN_ASYNC_LEASE_S. Exit code 1 when it was over before in another way."""
    told = call_on_job(client, "YunhanCancelJob", job_id, space)
    cancelled = told["state"] == "cancelled"
    if as_json:
        print_json(told)
    elif cancelled:
        note(f"Job {job_id} is cancelled.")
    else:
        note(f"Job {job_id} was over before: {told['state']}.")
    sys.exit(0 if cancelled else 1)


@job.command("list")
@space_option
@name_option
@click.option(
    "--state", "states", multiple=True, type=click.Choice(STATES), help="Can be repeated."
)
@click.option("--since", type=Since(), metavar="AGE|TIME", help="Accepted since, e.g. 10m, 2h.")
@limit_option
@json_option
@remote_command
def list_(  # noqa: PLR0917  # click passes options by name
    client: ManagementClient,
    space: str,
    name: str | None,
    states: Sequence[str],
    since: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """List jobs, newest first. One that no worker has taken yet is in the queue only: `job show` finds it."""
    list_jobs(
        client,
        space,
        limit,
        as_json=as_json,
        Name=name,
        State=list(states) or None,
        FromDate=since,
    )
