"""`yunhan files put`: files of this machine into a space."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from runtime.cli.client import ManagementClient
from runtime.cli.errors import CliError
from runtime.cli.files_progress import Advance, transfer_bars
from runtime.cli.files_space import SpaceFiles, StoredFile
from runtime.cli.lookup import find_space_id
from runtime.cli.options import json_option, remote_command, space_option
from runtime.cli.output import note, print_json

_UNKNOWN_TYPE = "application/octet-stream"


@click.command(short_help="Upload files and folders.")
@click.argument(
    "local",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="LOCAL...",
)
@space_option
@click.option(
    "--to",
    default="",
    metavar="PATH",
    help="A folder of the space when it ends in /, or when several go there; else the path of the one file.",
)
@click.option("--recursive", "-r", is_flag=True, help="Take folders with all that is below them.")
@click.option(
    "--type", "content_type", metavar="TYPE", help="Content type, instead of one by the name."
)
@json_option
@remote_command
def put(  # noqa: PLR0917  # click passes options by name
    client: ManagementClient,
    local: Sequence[Path],
    space: str,
    to: str,
    recursive: bool,
    content_type: str | None,
    as_json: bool,
) -> None:
    """Upload files; each replaces the file that has its path. A folder keeps its name and its form.

    Those that were uploaded before an error stay, with --json they are told line by line."""
    plan = list(_plan(local, to, recursive=recursive))
    files = SpaceFiles(client, find_space_id(client, space))
    count, size = 0, 0
    with transfer_bars() as begin:
        for source, path in plan:
            kind = content_type or mimetypes.guess_type(path)[0] or _UNKNOWN_TYPE
            stored = _put(files, source, path, kind, begin(path, source.stat().st_size))
            count, size = count + 1, size + stored.size
            if as_json:
                print_json(stored.row())
            else:
                click.echo(f"{stored.path}  {stored.url}")
    if not as_json:
        note(f"Uploaded {count:,} {'file' if count == 1 else 'files'}, {size:,} bytes.")


def _put(files: SpaceFiles, source: Path, path: str, kind: str, advance: Advance) -> StoredFile:
    try:
        return files.put(source, path, kind, progress=advance)
    except OSError as error:
        raise CliError(f"{source} cannot be read: {error.strerror}.") from None


def _plan(local: Sequence[Path], to: str, *, recursive: bool) -> Iterator[tuple[Path, str]]:
    """Each file with its path in the space. Raises CliError before anything is sent."""
    target = to.lstrip("/")
    folder = target if not target or target.endswith("/") else f"{target}/"
    single = len(local) == 1 and local[0].is_file() and target and not target.endswith("/")
    for each in local:
        if each.is_file():
            yield each, target if single else f"{folder}{each.name}"
        elif not each.is_dir():
            raise CliError(f"{each} is neither a file nor a folder.", code="NoFile")
        elif not recursive:
            raise CliError(
                f"{each} is a folder.", code="IsFolder", next_step="Add --recursive to upload it."
            )
        else:
            base = each.resolve()
            for source in _files_below(base):
                yield source, f"{folder}{base.name}/{source.relative_to(base).as_posix()}"


def _files_below(folder: Path) -> Iterator[Path]:
    """In the order of their names. Links are passed over: they may lead anywhere."""

    def fail(error: OSError) -> None:
        raise CliError(f"{error.filename} cannot be read: {error.strerror}.") from None

    for place, folders, names in os.walk(folder, onerror=fail):
        folders.sort()
        for name in sorted(names):
            source = Path(place, name)
            if source.is_symlink() or not source.is_file():
                note(f"{source} is no ordinary file and stays here.")
            else:
                yield source
