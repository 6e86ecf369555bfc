"""`yunhan db rules`: which clients may read and write what."""

from __future__ import annotations

from typing import TextIO

import click

from runtime.cli.client import ManagementClient
from runtime.cli.db_space import Policy, SpaceDatabase
from runtime.cli.lookup import find_space_id
from runtime.cli.options import json_option, remote_command
from runtime.cli.output import note, print_json
from runtime.cli.rule_file import read_rules

PRESETS = ("PUBLICREAD", "PRIVATE", "ADMINWRITEONLY", "ADMINREADWRITEONLY")
_OWN = "EXTENDED"

_space_argument = click.argument("space", metavar="SPACE")
_collection_argument = click.argument("collection", metavar="[COLLECTION]", required=False)


@click.group(short_help="Access rules for clients: show, set.")
def rules() -> None:
    """Access rules, which hold for clients; functions, the server SDK and `yunhan db` pass them.

    A rule is an object with ".read", ".write" and "*" (both): true, false or a condition like
    "request.auth.userId==resource.auth.userId". The collection * is for those without a fitting rule.
    """


@rules.command
@_space_argument
@_collection_argument
@json_option
@remote_command
def show(client: ManagementClient, space: str, collection: str | None, as_json: bool) -> None:
    """Show all rules as one document, or the rule of COLLECTION."""
    database = SpaceDatabase(client, find_space_id(client, space))
    if collection is None:
        if as_json:
            print_json({"rules": [_row(each) for each in database.policies()]})
        else:
            click.echo(database.document(), nl=False)
        return
    policy = database.policy(collection)
    if as_json:
        print_json(_row(policy))
    elif policy.text:
        click.echo(policy.text)
        note(f"Policy: {policy.name}")
    else:
        note(
            f"{collection} has no rule of its own: that of * holds, and without one none may enter."
        )


@rules.command("set", short_help="Set the rule of a collection, or all of them.")
@_space_argument
@_collection_argument
@click.option(
    "--policy", type=click.Choice(PRESETS, case_sensitive=False), help="One of the usual rules."
)
@click.option(
    "--file",
    type=click.File("r", encoding="utf-8"),
    metavar="FILE",
    help="A JSON text; - is stdin.",
)
@json_option
@remote_command
def set_(  # noqa: PLR0917  # click passes options by name
    client: ManagementClient,
    space: str,
    collection: str | None,
    policy: str | None,
    file: TextIO | None,
    as_json: bool,
) -> None:
    """Set the rule of COLLECTION, or without it all rules at once with a document like
    {"db": {"posts": {".read": true, ".write": false}, "*": {"*": false}}}."""
    if (policy is None) == (file is None):
        raise click.UsageError("say either --policy or --file")
    if policy is not None and collection is None:
        raise click.UsageError("--policy is for one COLLECTION")
    text = "" if file is None else read_rules(file)
    database = SpaceDatabase(client, find_space_id(client, space))
    if collection is None:
        count = database.set_document(text)
        if as_json:
            print_json({"rules": [_row(each) for each in database.policies()]})
        else:
            note(f"Rules are set: {count}.")
        return
    done = database.set_policy(Policy(collection, policy or _OWN, text))
    if as_json:
        print_json(_row(done))
    else:
        note(f"The rule of {done.collection} is set: {done.name}.")


def _row(policy: Policy) -> dict[str, str]:
    return {"collection": policy.collection, "policy": policy.name, "rule": policy.text}
