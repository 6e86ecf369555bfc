"""`yunhan user`: the end users of a space."""

from __future__ import annotations

import click

from runtime.cli.client import ManagementClient
from runtime.cli.lookup import find_space_id
from runtime.cli.options import json_option, remote_command, space_option
from runtime.cli.output import note, print_json


@click.group
def user() -> None:
    """End users of a space."""


@user.command
@click.argument("user_id", metavar="[USER]", default="")
@click.option("--all", "everybody", is_flag=True, help="The tokens of everybody.")
@space_option
@json_option
@remote_command
def revoke(
    client: ManagementClient, user_id: str, everybody: bool, space: str, as_json: bool
) -> None:
    """Refuse the tokens that USER (a userId) has now, on every gateway within seconds. Apps log in again by
    themselves: to keep somebody out, let your functions or rules refuse the userId."""
    if everybody == bool(user_id):
        raise click.UsageError("name one user, or --all")
    space_id = find_space_id(client, space)
    if everybody:
        answer = client.call("YunhanRevokeTokens", {"SpaceId": space_id})
    else:
        answer = client.call("YunhanRevokeUser", {"SpaceId": space_id, "UserId": user_id})
    if as_json:
        whose = {} if everybody else {"userId": user_id}
        print_json({"spaceId": space_id, **whose, "issuedBefore": answer["IssuedBefore"]})
    else:
        note(
            f"Tokens of {user_id or 'everybody'} issued before {answer['IssuedBefore']} are refused."
        )
