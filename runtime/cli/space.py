"""`yunhan space`: tenants and their keys."""

from __future__ import annotations

from typing import Any

import click

from runtime.cli.client import ManagementClient
from runtime.cli.lookup import find_space_id, find_space_ids
from runtime.cli.options import json_option, remote_command, yes_option
from runtime.cli.output import local_time, note, print_fields, print_json, print_table

_space_argument = click.argument("space_name", metavar="SPACE")
_secrets_option = click.option("--secrets", is_flag=True, help="Also show the server secret (PEM).")


@click.group
def space() -> None:
    """Spaces: each has its own functions, data and keys."""


@space.command
@click.argument("name")
@click.option("--desc", default="", help="Description.")
@_secrets_option
@json_option
@remote_command
def create(client: ManagementClient, name: str, desc: str, secrets: bool, as_json: bool) -> None:
    """Make a space and show its keys."""
    keys = create_space(client, name, desc)
    _show(keys, secrets=secrets, as_json=as_json)
    others = [found for found in find_space_ids(client, name) if found != keys["spaceId"]]
    if others:
        note(
            f"warning: {name} is also the name of {', '.join(others)};"
            " name these spaces by their ids from now on."
        )


@space.command("list")
@json_option
@remote_command
def list_spaces(client: ManagementClient, as_json: bool) -> None:
    """List the spaces."""
    spaces = list(client.items("ListSpace", {}, key="Spaces"))
    if as_json:
        print_json([_summary(found) for found in spaces])
        return
    print_table(
        ("Name", "Id", "Status", "Created", "Description"),
        [
            (s["Name"], s["SpaceId"], s["Status"], local_time(int(s["GmtCreate"])), s["Desc"])
            for s in spaces
        ],
        below=2,
    )


@space.command(short_help="Show a space's keys and endpoint.")
@_space_argument
@_secrets_option
@json_option
@remote_command
def show(client: ManagementClient, space_name: str, secrets: bool, as_json: bool) -> None:
    """Show a space's keys and endpoint; the server secret only with --secrets, as JSON too."""
    keys = describe_space(client, find_space_id(client, space_name))
    if not secrets:
        del keys["serverSecret"]
    _show(keys, secrets=secrets, as_json=as_json)


@space.command
@_space_argument
@yes_option
@json_option
@remote_command
def delete(client: ManagementClient, space_name: str, yes: bool, as_json: bool) -> None:
    """Delete a space with its functions, data and logs."""
    space_id = find_space_id(client, space_name)
    if not yes:
        click.confirm(
            f"Delete space {space_name} ({space_id}) and all it has?", abort=True, err=True
        )
    client.call("DeleteSpace", {"SpaceId": space_id}, timeout_s=300.0)
    if as_json:
        print_json({"spaceId": space_id, "deleted": True})
    else:
        note(f"Space {space_id} is deleted.")


@space.command
@_space_argument
@json_option
@remote_command
def pause(client: ManagementClient, space_name: str, as_json: bool) -> None:
    """Refuse all calls of a space; its administration goes on."""
    space_id = _set_status(client, space_name, "PAUSED", as_json=as_json)
    if not as_json:
        note(f"Space {space_id} is paused; `yunhan space resume {space_name}` ends that.")


@space.command
@_space_argument
@json_option
@remote_command
def resume(client: ManagementClient, space_name: str, as_json: bool) -> None:
    """Take calls again."""
    space_id = _set_status(client, space_name, "RUNNING", as_json=as_json)
    if not as_json:
        note(f"Space {space_id} takes calls.")


@space.command("reset-secret", short_help="Replace the server secret.")
@_space_argument
@yes_option
@_secrets_option
@json_option
@remote_command
def reset_secret(
    client: ManagementClient, space_name: str, yes: bool, secrets: bool, as_json: bool
) -> None:
    """Replace the server secret; servers that use the old one are refused."""
    space_id = find_space_id(client, space_name)
    if not yes:
        click.confirm(f"Replace the server secret of {space_name}?", abort=True, err=True)
    client.call("ResetServerSecret", {"SpaceId": space_id})
    _show(describe_space(client, space_id), secrets=secrets, as_json=as_json)


def create_space(client: ManagementClient, name: str, desc: str = "") -> dict[str, str]:
    """Make a space; what `describe_space` says about it."""
    answer = client.call("CreateSpace", {"Name": name, "Desc": desc or None})
    return describe_space(client, answer["SpaceId"])


def describe_space(client: ManagementClient, space_id: str) -> dict[str, str]:
    """`spaceId`, `name`, `clientSecret`, `serverSecret` (PEM) and `endpoint` of a space."""
    answer = client.call("DescribeSpaceClientConfig", {"SpaceId": space_id, "Detail": True})
    return {
        "spaceId": answer["SpaceId"],
        "name": answer["Name"],
        "clientSecret": answer["ApiKey"],
        "serverSecret": answer["PrivateKey"],
        "endpoint": answer["Endpoint"],
    }


def _set_status(client: ManagementClient, space_name: str, status: str, *, as_json: bool) -> str:
    space_id = find_space_id(client, space_name)
    client.call("UpdateSpace", {"SpaceId": space_id, "Status": status})
    if as_json:
        print_json({"spaceId": space_id, "status": status})
    return space_id


def _summary(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "spaceId": found["SpaceId"],
        "name": found["Name"],
        "status": found["Status"],
        "desc": found["Desc"],
        "created": found["GmtCreate"],
    }


def _show(keys: dict[str, str], *, secrets: bool, as_json: bool) -> None:
    """The private key is long and secret: people have to ask for it. Without it in `keys` JSON has none,
    either; scripts that make a space need it."""
    if as_json:
        print_json(keys)
        return
    print_fields(
        {
            "Space id": keys["spaceId"],
            "Name": keys["name"],
            "Endpoint": keys["endpoint"],
            "Client secret": keys["clientSecret"],
            "Server secret": "below" if secrets else "a private key: add --secrets to see it",
        }
    )
    if secrets:
        click.echo(keys["serverSecret"].strip())
