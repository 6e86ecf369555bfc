"""`yunhan db`: the database of a space."""

from __future__ import annotations

import json
import sys

import click

from runtime.cli.client import ManagementClient
from runtime.cli.db_space import SpaceDatabase
from runtime.cli.groups import LazyGroup
from runtime.cli.lookup import find_space_id
from runtime.cli.options import json_option, remote_command
from runtime.cli.output import note, print_json

_COMMANDS = {
    "run": "runtime.cli.db:run",
    "rules": "runtime.cli.db_rules:rules",
    "export": "runtime.cli.db_export:export",
    "import": "runtime.cli.db_import:import_",
}


@click.group(cls=LazyGroup, places=_COMMANDS)
def db() -> None:
    """The database of a space: commands, access rules, export and import."""


@click.command(short_help="Run one command; no access rule holds.")
@click.argument("space", metavar="SPACE")
@click.argument("command", metavar="JSON")
@json_option
@remote_command
def run(client: ManagementClient, space: str, command: str, as_json: bool) -> None:
    """Run one command, as {"command": "find", "collection": "users", "query": {}}; - reads it from stdin.

    Beside the commands of the SDKs: collections, createCollection, drop, rename, listIndexes, createIndex,
    dropIndex. No access rule holds.
    """
    text = sys.stdin.read() if command == "-" else command
    affected, result = SpaceDatabase(client, find_space_id(client, space)).run_text(text)
    if as_json:
        print_json({"affectedDocs": affected, "result": result})
        return
    click.echo(json.dumps(result, ensure_ascii=False, indent=2))
    note(f"affectedDocs: {affected}")
