"""`yunhan invoke`: run a function once, as the owner of its space."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from runtime.cli.bills import bill_facts
from runtime.cli.client import ManagementClient
from runtime.cli.invoke_async import invoke_async
from runtime.cli.lookup import find_space_id
from runtime.cli.options import json_option, remote_command, space_option
from runtime.cli.output import note, print_json, small_names

INVOKE_TIMEOUT_S = 1000.0
"""Beyond the longest synchronous run and its wait in the queue."""


@click.command
@click.argument("name")
@space_option
@click.option(
    "--args",
    "args_text",
    default="{}",
    metavar="JSON",
    show_default=True,
    help="What `ctx.args` is.",
)
@click.option("--async", "asynchronous", is_flag=True, help="Make a job of it; print its id.")
@click.option(
    "--idempotency-key",
    "key",
    metavar="KEY",
    help="With --async: for 24 hours the same key gives the same job.",
)
@click.option("--wait", is_flag=True, help="With --async: until the job is over.")
@json_option
@remote_command
def invoke(  # noqa: PLR0917  # click passes options by name
    client: ManagementClient,
    name: str,
    space: str,
    args_text: str,
    asynchronous: bool,
    key: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Run a function and print its result. Exit code 1 when it did not end well."""
    try:
        json.loads(args_text)
    except ValueError as error:
        raise click.BadParameter(f"{error}", param_hint="--args") from None
    if key == "":
        raise click.BadParameter("it is empty", param_hint="--idempotency-key")
    if (wait or key is not None) and not asynchronous:
        raise click.UsageError("--wait and --idempotency-key go with --async")
    space_id = find_space_id(client, space)
    if asynchronous:
        invoke_async(client, space_id, name, args_text, key=key, wait=wait, as_json=as_json)
        return
    try:
        answer = invoke_function(client, space_id, name, args_text)
    except KeyboardInterrupt:
        note(f"\nThe call goes on; its log: yunhan logs {name} --space {space}")
        sys.exit(130)
    if as_json:
        print_json(answer)
    else:
        _show(answer, name, space)
    sys.exit(0 if answer["success"] else 1)


def invoke_function(
    client: ManagementClient, space_id: str, name: str, args_text: str
) -> dict[str, Any]:
    """`{success, requestId, outcome, result | error: {code, message, blame[, name]}, bill}`.

    A function that failed is an answer; RemoteError is raised when it could not be asked.
    """
    answer = client.call(
        "YunhanInvoke",
        {"SpaceId": space_id, "Name": name, "Args": args_text},
        timeout_s=INVOKE_TIMEOUT_S,
    )
    success = bool(answer["Success"])
    told: dict[str, Any] = {
        "success": success,
        "requestId": answer["RequestId"],
        "outcome": answer["Outcome"],
    }
    if success:
        told["result"] = json.loads(answer["Result"])
    else:
        told["error"] = small_names(answer["Error"])
    told["bill"] = small_names(answer.get("Bill") or {})
    return told


def _show(answer: dict[str, Any], name: str, space: str) -> None:
    """The result alone on stdout; the rest on stderr."""
    if answer["success"]:
        click.echo(json.dumps(answer["result"], ensure_ascii=False, indent=2))
    else:
        error = answer["error"]
        click.secho(f"{answer['outcome']}: ", fg="red", bold=True, nl=False, err=True)
        thrown = f"{error['name']}: " if error.get("name") else ""
        note(f"{thrown}{error['message']} ({error['code']}, blame: {error['blame']})")
    note(f"request {answer['requestId']}: {', '.join(bill_facts(answer['bill']))}")
    if not answer["success"]:
        note(f"Its log: yunhan logs {name} --space {space} --request-id {answer['requestId']}")
