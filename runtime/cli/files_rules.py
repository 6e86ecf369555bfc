"""`yunhan files rules`: which clients may read and write which files."""

from __future__ import annotations

from typing import TextIO

import click

from runtime.cli.client import ManagementClient
from runtime.cli.files_space import SpaceFiles
from runtime.cli.lookup import find_space_id
from runtime.cli.options import json_option, remote_command, space_option
from runtime.cli.output import note, print_json
from runtime.cli.rule_file import read_rules


@click.command(short_help="Access rules for clients: show, set.")
@space_option
@click.option(
    "--set",
    "file",
    type=click.File("r", encoding="utf-8"),
    metavar="FILE",
    help="Replace the rules by this document, a JSON text; - is stdin.",
)
@click.option("--reset", is_flag=True, help="Back to no document: everybody reads, owners write.")
@json_option
@remote_command
def rules(
    client: ManagementClient, space: str, file: TextIO | None, reset: bool, as_json: bool
) -> None:
    """Show the access rules of files, or set them with a document like
    {"file": {"pictures/a.png": {".read": true, ".write": false}, "*": {"*": false}}}.

    They hold for clients; functions, the server SDK and these commands pass them. Without a document
    everybody reads and the owner writes."""
    if reset and file is not None:
        raise click.UsageError("--set and --reset exclude each other.")
    text = "" if reset else None if file is None else read_rules(file)
    files = SpaceFiles(client, find_space_id(client, space))
    if text is not None:
        files.set_rules(text)
    document = files.rules()
    if as_json:
        print_json({"rules": document})
    elif text is not None:
        note("The rules of files are set.")
    else:
        click.echo(document.removesuffix("\n"))
