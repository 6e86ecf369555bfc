"""`yunhan files ls` and `rm`: which files a space has, and their end."""

from __future__ import annotations

from collections.abc import Sequence

import click

from runtime.cli.client import ManagementClient
from runtime.cli.errors import CliError
from runtime.cli.files_space import SpaceFiles
from runtime.cli.lookup import find_space_id
from runtime.cli.options import json_option, remote_command, space_option, yes_option
from runtime.cli.output import local_time, note, print_json, print_table


@click.command("ls", short_help="List files.")
@click.argument("prefix", metavar="[PREFIX]", default="")
@space_option
@json_option
@remote_command
def list_files(client: ManagementClient, prefix: str, space: str, as_json: bool) -> None:
    """List the files whose path begins with PREFIX, in the order of their paths."""
    files = SpaceFiles(client, find_space_id(client, space))
    found = list(files.listed(prefix.lstrip("/")))
    if as_json:
        print_json([each.row() for each in found])
        return
    print_table(
        ("Size", "Modified", "Type", "Id", "Path"),
        [
            (f"{f.size:,}", local_time(f.modified), f.content_type, f.file_id, _shown(f.path))
            for f in found
        ],
    )


@click.command("rm", short_help="Delete files.")
@click.argument("names", nargs=-1, required=True, metavar="PATH|URL|ID...")
@space_option
@click.option("--recursive", "-r", is_flag=True, help="Delete all files below these folders.")
@yes_option
@json_option
@remote_command
def remove(  # noqa: PLR0917  # click passes options by name
    client: ManagementClient,
    names: Sequence[str],
    space: str,
    recursive: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete files. Those that were deleted before an error stay deleted."""
    files = SpaceFiles(client, find_space_id(client, space))
    wanted = list(names)
    if recursive:
        wanted = [path for name in names for path in _below(files, name)]
        if not yes:
            click.confirm(f"Delete {len(wanted):,} files?", abort=True, err=True)
    for name in wanted:
        files.remove(name)
        if as_json:
            print_json({"deleted": name})
    if not as_json:
        note(f"Deleted {len(wanted):,} {'file' if len(wanted) == 1 else 'files'}.")


def _below(files: SpaceFiles, folder: str) -> list[str]:
    """Paths, which begin with a slash, so that none is taken for an id. Raises CliError."""
    prefix = f"{folder.strip('/')}/"
    if prefix == "/":
        raise CliError(
            "the whole space is not deleted so.",
            code="NoFolder",
            next_step="Name its folders one by one.",
        )
    paths = [f"/{each.path}" for each in files.listed(prefix)]
    if not paths:
        raise CliError(f"there are no files below {prefix}", code="FileNotFound")
    return paths


def _shown(path: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in path)
