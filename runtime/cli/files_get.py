"""`yunhan files get`: a file of a space onto this machine."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import click

from runtime.cli.client import ManagementClient
from runtime.cli.errors import CliError
from runtime.cli.files_progress import Advance, transfer_bars
from runtime.cli.files_space import SpaceFiles, StoredFile
from runtime.cli.lookup import find_space_id
from runtime.cli.options import json_option, remote_command, space_option
from runtime.cli.output import note, print_json

_STDOUT = "-"


@click.command(short_help="Download a file.")
@click.argument("name", metavar="PATH|URL|ID")
@space_option
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    help="Where to write it: a file, a folder, or - for stdout; else its own name, here.",
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@json_option
@remote_command
def get(  # noqa: PLR0917  # click passes options by name
    client: ManagementClient, name: str, space: str, output: str | None, force: bool, as_json: bool
) -> None:
    """Download a file. FILE is there only when all of it came, with the sum that the program knows."""
    if output == _STDOUT and as_json:
        raise click.UsageError("--json and -o - both want stdout")
    files = SpaceFiles(client, find_space_id(client, space))
    stored, address = files.find(name)
    if output == _STDOUT:
        _fetch(files, address, stored, sys.stdout.buffer, "stdout", _quiet)
        return
    target = _target(stored, output)
    if target.exists() and not force:
        raise CliError(
            f"{target} is there already.",
            code="TargetExists",
            next_step="Name another file with -o, or add --force to replace it.",
        )
    with transfer_bars() as begin:
        _write(files, address, stored, target, begin(stored.path, stored.size))
    if as_json:
        print_json({**stored.row(), "file": str(target)})
    else:
        note(f"{target}: {stored.size:,} bytes.")


def _target(stored: StoredFile, output: str | None) -> Path:
    """The last part of a file's path has no separator of this system and is no folder's name."""
    name = PurePosixPath(stored.path).name
    if output is None:
        return Path(name)
    target = Path(output)
    return target / name if target.is_dir() else target


def _write(
    files: SpaceFiles, address: str, stored: StoredFile, target: Path, advance: Advance
) -> None:
    """Through a draft beside it, so that nobody ever sees a part of the file under its name."""
    try:
        handle, place = tempfile.mkstemp(prefix=".yunhan-", suffix=".part", dir=target.parent)
    except OSError as error:
        raise CliError(f"{target} cannot be written: {error.strerror}.") from None
    draft = Path(place)
    try:
        with os.fdopen(handle, "wb") as file:
            _fetch(files, address, stored, file, str(target), advance)
        try:
            draft.chmod(0o666 & ~_umask())
            draft.replace(target)
        except OSError as error:
            raise CliError(f"{target} cannot be written: {error.strerror}.") from None
    finally:
        with suppress(OSError):
            draft.unlink()


def _fetch(  # noqa: PLR0917
    files: SpaceFiles,
    address: str,
    stored: StoredFile,
    file: BinaryIO,
    where: str,
    advance: Advance,
) -> None:
    digest = hashlib.md5(usedforsecurity=False)

    def write(chunk: bytes) -> None:
        digest.update(chunk)
        try:
            file.write(chunk)
        except OSError as error:
            raise CliError(f"{where} cannot be written: {error.strerror}.") from None
        advance(len(chunk))

    files.download(address, write=write)
    try:
        file.flush()
    except OSError as error:
        raise CliError(f"{where} cannot be written: {error.strerror}.") from None
    if stored.md5 and digest.hexdigest() != stored.md5:
        raise CliError(
            f"the bytes of {stored.path} are not those that were announced.",
            code="FileDamaged",
            next_step="It may have been replaced meanwhile: run the command again.",
        )


def _umask() -> int:
    """Reading it means setting it; a command has no other threads that would notice."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _quiet(_count: int) -> None:
    pass
