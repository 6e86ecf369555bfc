"""What the commands about asynchronous jobs share: options, calls and answers, how a job is shown."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import click

from runtime.cli.bills import bill_facts
from runtime.cli.client import ManagementClient, Parameter
from runtime.cli.lookup import find_space_id
from runtime.cli.output import (
    local_time,
    note,
    print_fields,
    print_json,
    print_table,
    small_names,
)

TERMINAL = ("succeeded", "failed", "timed_out", "dead", "cancelled", "expired")
STATES = ("queued", "running", *TERMINAL)

job_argument = click.argument("job_id", metavar="JOB")
its_space_option = click.option(
    "--space", metavar="ID|NAME", help="Its space; looked for when it is not given."
)
name_option = click.option("--function", "name", metavar="NAME", help="Only of this function.")
limit_option = click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=50,
    show_default=True,
    help="The newest so many.",
)


def of_job(client: ManagementClient, job_id: str, space: str | None) -> dict[str, Parameter]:
    """The parameters that name a job."""
    parameters: dict[str, Parameter] = {"JobId": job_id}
    if space:
        parameters["SpaceId"] = find_space_id(client, space)
    return parameters


def call_on_job(
    client: ManagementClient, action: str, job_id: str, space: str | None
) -> dict[str, Any]:
    """The job in the action's answer, as `in_json` makes it."""
    return in_json(client.call(action, of_job(client, job_id, space))["Job"])


def in_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """As scripts get it: names begin small, the result is a value, not its text."""
    told: dict[str, Any] = small_names(row)
    if "name" in told:
        told["function"] = told.pop("name")
    if isinstance(told.get("result"), str):
        told["result"] = json.loads(told["result"])
    return told


def show_job(job: Mapping[str, Any]) -> None:
    """For people: facts and attempts, then the result alone. Takes what `in_json` made."""
    facts = {
        "Job": job["jobId"],
        "State": job["state"],
        "Space": job["spaceId"],
        "Function": job.get("function", ""),
        "Source": job.get("source", ""),
        "Accepted": _local(job.get("acceptedAt")),
        "Ended": _local(job.get("endedAt")),
        "Next attempt": _local(job.get("notBefore")) if job["state"] == "queued" else "",
        "Replay of": job.get("replayOf") or "",
        "Idempotency key": job.get("idempotencyKey") or "",
        "Called by": job.get("parentRequestId") or "",
        "Reason": reason(job),
        "Bill": ", ".join(bill_facts(job.get("bill") or {})),
    }
    print_fields({name: value for name, value in facts.items() if value})
    attempts = job.get("attempts") or []
    if attempts:
        click.echo()
        print_table(
            ("Attempt", "Started", "Ended", "Outcome", "Worker", "Request id"),
            [
                (
                    f"{each['number']} of {job['attemptsMax']}",
                    _local(each["startedAt"]),
                    _local(each["endedAt"]),
                    each["outcome"] or _untold(job, each),
                    each["workerId"],
                    each["requestId"],
                )
                for each in attempts
            ],
            below=2,
        )
    elif job["state"] == "queued":
        note("No worker has taken it yet.")
    if "result" in job:
        click.echo()
        click.echo(json.dumps(job["result"], ensure_ascii=False, indent=2))
    if "resultProblem" in job:
        note(f"The result cannot be read: {job['resultProblem']}")


def list_jobs(
    client: ManagementClient,
    space: str,
    limit: int,
    *,
    as_json: bool,
    **parameters: Parameter,
) -> None:
    """Prints the newest so many; for people as a table, the reason last, because it may be long."""
    wanted = {"SpaceId": find_space_id(client, space), **parameters}
    items = itertools.islice(client.items("YunhanListJobs", wanted, key="DataList"), limit)
    jobs = [in_json(item) for item in items]
    if as_json:
        print_json(jobs)
        return
    print_table(
        ("Job", "Function", "State", "Attempts", "Accepted", "Ended", "Reason"),
        [
            (
                job["jobId"],
                job["function"],
                job["state"],
                f"{job['attemptsMade']}/{job['attemptsMax']}",
                _local(job["acceptedAt"]),
                _local(job["endedAt"]),
                reason(job),
            )
            for job in jobs
        ],
    )


def reason(job: Mapping[str, Any]) -> str:
    """Why its last attempt failed; empty when it did not, or nothing is known."""
    error = job.get("error")
    return f"{job['outcome']}: {error['message']}" if error else ""


def _untold(job: Mapping[str, Any], attempt: Mapping[str, Any]) -> str:
    """Of an attempt that did not tell its end. Only the last one can have been cancelled, or run still."""
    last = attempt["number"] == job["attempts"][-1]["number"]
    return job["state"] if last and job["state"] in {"running", "cancelled"} else "lost"


def _local(time: str | None) -> str:
    return local_time(time) if time else ""
