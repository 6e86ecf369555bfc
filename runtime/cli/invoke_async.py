"""`yunhan invoke --async`: make a job, and wait for its end when asked to."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from runtime.cli.client import ManagementClient
from runtime.cli.jobs import TERMINAL, call_on_job, show_job
from runtime.cli.output import note, print_json

_LOOK_FIRST_S, _LOOK_LONGEST_S = 0.1, 2.0


def invoke_async(
    client: ManagementClient,
    space_id: str,
    name: str,
    args_text: str,
    *,
    key: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Prints the job's id, or with `wait` the job when it is over; then exit code 1 when it did not
    succeed."""
    answer = client.call(
        "YunhanInvokeAsync",
        {"SpaceId": space_id, "Name": name, "Args": args_text, "IdempotencyKey": key},
    )
    job_id, first = str(answer["JobId"]), bool(answer["First"])
    if not wait:
        if as_json:
            print_json({"success": True, "jobId": job_id, "first": first})
        else:
            click.echo(job_id)
            again = "" if first else "An earlier call made it. "
            note(f"{again}See what becomes of it: yunhan job show {job_id}")
        return
    try:
        job = wait_for_end(client, space_id, job_id)
    except KeyboardInterrupt:
        note(f"\nThe job goes on: yunhan job show {job_id}")
        sys.exit(130)
    if as_json:
        print_json({**job, "first": first})
    else:
        show_job(job)
    sys.exit(0 if job["state"] == "succeeded" else 1)


def wait_for_end(client: ManagementClient, space_id: str, job_id: str) -> dict[str, Any]:
    """The job when it is over; asks more and more slowly. Every job ends, so this does."""
    pause_s = _LOOK_FIRST_S
    while True:
        job = call_on_job(client, "YunhanDescribeJob", job_id, space_id)
        if job["state"] in TERMINAL:
            return job
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _LOOK_LONGEST_S)
