"""`yunhan files rules`: which clients may read and write which files."""

from __future__ import annotations

from typing import TextIO

import click

from runtime.cli.client import ManagementClient
from runtime.cli.errors import CliError
from runtime.cli.files_space import SpaceFiles
from runtime.cli.lookup import find_space_id
from runtime.cli.options import json_option, remote_command, space_option
from runtime.cli.output import note, print_json

_FILE_MAX_CHARACTERS = 4_000_000
"""Far beyond what the program takes; a file that was named by mistake may be of any size."""


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
    text = "" if reset else None if file is None else _read(file)
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


def _read(file: TextIO) -> str:
    try:
        text = file.read(_FILE_MAX_CHARACTERS + 1)
    except UnicodeDecodeError:
        raise CliError(f"{file.name} is no text in UTF-8.", code="NoRuleFile") from None
    except OSError as error:
        raise CliError(f"{file.name} cannot be read: {error.strerror}.") from None
    if not text.strip() or len(text) > _FILE_MAX_CHARACTERS:
        raise CliError(f"{file.name} is empty or too large for rules.", code="NoRuleFile")
    return text
