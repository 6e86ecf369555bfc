"""`yunhan cors`: the web pages that may call a space from browsers."""

from __future__ import annotations

from typing import Any

import click

from runtime.cli.client import ManagementClient
from runtime.cli.errors import CliError
from runtime.cli.lookup import find_space_id
from runtime.cli.options import json_option, remote_command
from runtime.cli.output import print_json, print_table

_space_argument = click.argument("space", metavar="SPACE")


@click.group
def cors() -> None:
    """Origins of web pages that may call a space: example.com, *.example.com, example.com:8080,
    https://example.com, or * for every page. Mini programs and servers need none."""


@cors.command("ls")
@_space_argument
@json_option
@remote_command
def list_(client: ManagementClient, space: str, as_json: bool) -> None:
    """List the origins."""
    rows = _domains(client, find_space_id(client, space))
    if as_json:
        print_json([{"domain": each["Domain"], "id": each["DomainId"]} for each in rows])
        return
    print_table(("Domain", "Id"), [(each["Domain"], each["DomainId"]) for each in rows])


@cors.command
@_space_argument
@click.argument("domain")
@json_option
@remote_command
def add(client: ManagementClient, space: str, domain: str, as_json: bool) -> None:
    """Allow pages of DOMAIN to call. The same again changes nothing."""
    parameters = {"SpaceId": find_space_id(client, space), "Domain": domain}
    domain_id = client.call("AddCorsDomain", parameters)["DomainId"]
    if as_json:
        print_json({"id": domain_id})
    else:
        click.echo(f"Pages of {domain} may call.")


@cors.command("rm")
@_space_argument
@click.argument("domain", metavar="DOMAIN|ID")
@json_option
@remote_command
def remove(client: ManagementClient, space: str, domain: str, as_json: bool) -> None:
    """Take back what was allowed, as `ls` shows it."""
    space_id = find_space_id(client, space)
    there = _domains(client, space_id)
    found = [each for each in there if domain in (each["Domain"], each["DomainId"])]
    if not found:
        listed = ", ".join(each["Domain"] for each in there)
        raise CliError(
            f"the space allows no {domain}.",
            code="CorsDomainNotFound",
            next_step=f"It allows: {listed}." if there else "It allows none.",
        )
    domain_id = found[0]["DomainId"]
    client.call("DeleteCorsDomain", {"SpaceId": space_id, "DomainId": domain_id})
    if as_json:
        print_json({"id": domain_id})
    else:
        click.echo(f"Pages of {found[0]['Domain']} may no longer call.")


def _domains(client: ManagementClient, space_id: str) -> list[dict[str, Any]]:
    return list(client.call("ListCorsDomains", {"SpaceId": space_id})["Domains"])
