"""`yunhan function`: the functions of a space and their settings."""

from __future__ import annotations

from typing import Any

import click

from runtime.cli.client import ManagementClient
from runtime.cli.function_async import (
    AsyncOptions,
    async_options,
    async_text,
    change_async,
    in_numbers,
)
from runtime.cli.function_env import EnvOptions, change_env, env_options, print_env
from runtime.cli.function_timer import TimerOptions, describe_timer, timer_fields, timer_options
from runtime.cli.lookup import find_space_id, node_versions
from runtime.cli.options import json_option, remote_command, space_option, yes_option
from runtime.cli.output import local_time, note, print_fields, print_json, print_table
from runtime.cli.trigger_config import address_fields, describe_triggers, off_note


@click.group
def function() -> None:
    """Functions: list, show, set, env, delete. `yunhan deploy` makes them."""


@function.command("list")
@space_option
@json_option
@remote_command
def list_functions(client: ManagementClient, space: str, as_json: bool) -> None:
    """List the functions of a space."""
    parameters = {"SpaceId": find_space_id(client, space)}
    items = list(client.items("ListFunction", parameters, key="DataList"))
    versions = node_versions(client) if items else []
    rows = [_settings_of(item, versions) for item in items]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("Name", "Runtime", "Memory", "Timeout", "Concurrency", "HTTP path", "Description"),
        [
            (
                row["name"],
                _runtime_text(row),
                f"{row['memoryMb']} MB",
                f"{row['timeoutS']} s",
                str(row["concurrency"]),
                row["httpPath"],
                row["desc"],
            )
            for row in rows
        ],
    )


@function.command(short_help="Show settings, live deployment and addresses.")
@click.argument("name")
@space_option
@json_option
@remote_command
def show(client: ManagementClient, name: str, space: str, as_json: bool) -> None:
    """Show a function's settings, its live deployment and where it answers HTTP requests."""
    _show(client, find_space_id(client, space), name, space=space, as_json=as_json)


@function.command("set")
@click.argument("name")
@space_option
@click.option("--memory", type=int, metavar="MB", help="Memory: 128 to 2048, a multiple of 64.")
@click.option("--timeout", type=int, metavar="S", help="Time limit in seconds: 1 to 7200.")
@click.option(
    "--concurrency",
    type=int,
    metavar="N",
    help="Invocations at the same time in one sandbox: 1 to 20; above 1 needs 512 MB.",
)
@click.option("--runtime", metavar="NAME", help="Node.js version, e.g. nodejs20.")
@click.option("--desc", metavar="TEXT", help="Description.")
@click.option(
    "--http-path",
    metavar="PATH",
    help="Answer HTTP requests to /http/... and what is below it; an empty text ends that.",
)
@timer_options
@async_options
@env_options
@json_option
@remote_command
def set_(  # noqa: PLR0917  # click passes options by name
    client: ManagementClient,
    env: EnvOptions,
    asynchronous: AsyncOptions,
    timer: TimerOptions,
    name: str,
    space: str,
    memory: int | None,
    timeout: int | None,
    concurrency: int | None,
    runtime: str | None,
    desc: str | None,
    http_path: str | None,
    as_json: bool,
) -> None:
    """Change what is given; the next call has it."""
    changes = {
        "Memory": memory,
        "Timeout": timeout,
        "InstanceConcurrency": concurrency,
        "Runtime": runtime,
        "Desc": desc,
        "HttpTriggerPath": http_path,
        **timer.changes,
    }
    has_changes = any(value is not None for value in changes.values())
    if not has_changes and not env.given and not asynchronous.given:
        raise click.UsageError("say what to change, e.g. --memory 512")
    space_id = find_space_id(client, space)
    if env.given:
        change_env(client, space_id, name, env)
    if asynchronous.given:
        change_async(client, space_id, name, asynchronous)
    if has_changes:
        client.call("UpdateFunction", {"SpaceId": space_id, "Name": name, **changes})
    _show(client, space_id, name, space=space, as_json=as_json)


@function.command("env", short_help="List a function's environment variables.")
@click.argument("name")
@space_option
@click.option("--show-values", is_flag=True, help="Print the values, too.")
@json_option
@remote_command
def env_(client: ManagementClient, name: str, space: str, show_values: bool, as_json: bool) -> None:
    """List a function's environment variables; `function set --env` changes them."""
    space_id = find_space_id(client, space)
    print_env(client, space_id, name, show_values=show_values, as_json=as_json)


@function.command
@click.argument("name")
@space_option
@yes_option
@json_option
@remote_command
def delete(client: ManagementClient, name: str, space: str, yes: bool, as_json: bool) -> None:
    """Delete a function with all its deployments."""
    space_id = find_space_id(client, space)
    if not yes:
        click.confirm(f"Delete function {name} and its deployments?", abort=True, err=True)
    client.call("DeleteFunction", {"SpaceId": space_id, "Name": name})
    if as_json:
        print_json({"function": name, "deleted": True})
    else:
        note(f"Function {name} is deleted.")


def describe_function(client: ManagementClient, space_id: str, name: str) -> dict[str, Any]:
    """Settings of a function and, under `deployment`, its live deployment (None before the first)."""
    answer = client.call("DescribeFunction", {"SpaceId": space_id, "Name": name})
    live = answer.get("Deployment") or {}
    deployment = (
        {"deploymentId": live["DeploymentId"], "versionNo": live.get("VersionNo", "")}
        if live.get("DeploymentId")
        else None
    )
    described = _settings_of(answer["Function"], node_versions(client))
    if "Async" in answer:
        described["async"] = in_numbers(answer["Async"])
    return {**described, "deployment": deployment}


def _settings_of(item: dict[str, Any], versions: list[int]) -> dict[str, Any]:
    """The API writes numbers with their unit ("512 MB", "5s"); scripts want numbers.

    `runsOn` is the Node.js version that the program takes for `runtime`; None when no worker is there.
    """
    from sandbox.node_runtimes import nearest

    spec = item["Spec"]
    return {
        "name": item["Name"],
        "desc": item.get("Desc", ""),
        "runtime": spec["Runtime"],
        "runsOn": nearest(versions, _number(spec["Runtime"])) if versions else None,
        "memoryMb": _number(spec["Memory"]),
        "timeoutS": _number(spec["Timeout"]),
        "concurrency": int(spec["InstanceConcurrency"]),
        "httpPath": item.get("HttpTriggerPath", ""),
        "timer": item.get("TimingTriggerConfig", ""),
        "createdAt": item.get("CreatedAt", ""),
        "modifiedAt": item.get("ModifiedAt", ""),
    }


def _runtime_text(row: dict[str, Any]) -> str:
    """Names the version that really runs when it is another one."""
    runtime, runs_on = row["runtime"], row["runsOn"]
    return str(runtime) if runs_on in {None, _number(runtime)} else f"{runtime} (runs on {runs_on})"


def _number(text: object) -> int:
    return int("".join(character for character in str(text) if character.isdigit()))


def _show(client: ManagementClient, space_id: str, name: str, *, space: str, as_json: bool) -> None:
    """`space` is what the user calls it."""
    described = describe_function(client, space_id, name)
    if as_json:
        print_json(described)
        return
    path = described["httpPath"]
    triggers = describe_triggers(client, space_id) if path else None
    deployment = described["deployment"]
    timer = describe_timer(client, space_id, name) if described["timer"] else None
    print_fields(
        {
            "Name": described["name"],
            "Description": described["desc"],
            "Runtime": _runtime_text(described),
            "Memory": f"{described['memoryMb']} MB",
            "Timeout": f"{described['timeoutS']} s",
            "Concurrency": str(described["concurrency"]),
            **({"Asynchronous": async_text(described["async"])} if "async" in described else {}),
            "Modified": local_time(described["modifiedAt"]) if described["modifiedAt"] else "",
            "Deployment": deployment["deploymentId"] if deployment else "none: deploy one",
            "HTTP path": path or "none",
            **(address_fields(triggers, path) if triggers else {}),
            **(timer_fields(timer) if timer else {"Timer": "none"}),
        }
    )
    if triggers and not triggers["enabled"]:
        note(off_note(space))
