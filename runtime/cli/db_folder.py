"""The folder that `yunhan db export` makes and `yunhan db import` reads.

    manifest.json     collections with indexes, counts, checksums; access rules
    NAME.jsonl        documents of one collection in the order of their ids, one a line, as canonical extended
                      JSON
    NAME.jsonl.part   one that is not finished; an export goes on behind its last whole line

Data of people are in it: others on this machine may not read what is made here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from runtime.cli.db_space import Index, Policy
from runtime.cli.errors import CliError

LINES_SUFFIX = ".jsonl"
PART_SUFFIX = ".part"
MANIFEST = "manifest.json"
_FORMAT, _VERSION = "yunhan-database", 1
_MANIFEST_MAX_BYTES = 64 * 1024 * 1024
_PLAIN_NAME = re.compile(r"[a-z0-9_-]{1,64}")


class NoManifestError(CliError):
    """The folder is no export."""

    usual_code = "NoManifest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a file of lines has."""

    count: int
    size_bytes: int
    sha256: str
    """Of the whole file, in hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """One finished collection."""

    name: str
    file: str
    content: Content
    indexes: tuple[Index, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the folder has. Not complete: the export was interrupted."""

    space_id: str
    wanted: tuple[str, ...] = ()
    """The collections that were asked for; empty = all."""
    complete: bool = False
    collections: tuple[Exported, ...] = ()
    policies: tuple[Policy, ...] = field(default=())

    def having(self, exported: Exported) -> Manifest:
        """With one more collection."""
        return replace(self, collections=(*self.collections, exported))


def file_name(collection: str) -> str:
    """Of a collection's lines, the same at every export; safe on file systems that ignore case, too."""
    if _PLAIN_NAME.fullmatch(collection):
        return f"{collection}{LINES_SUFFIX}"
    readable = re.sub(r"[^A-Za-z0-9_-]", "_", collection)[:64]
    return f"{readable}-{hashlib.sha256(collection.encode()).hexdigest()[:10]}{LINES_SUFFIX}"


def read_manifest(folder: Path) -> Manifest:
    """Raises NoManifestError, CliError for one that cannot be read or is of a later version."""
    path = folder / MANIFEST
    try:
        if path.stat().st_size > _MANIFEST_MAX_BYTES:
            raise CliError(f"{path} is too large for a manifest.", code="BadManifest")
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise NoManifestError(
            f"{folder} has no {MANIFEST}: it is no export.",
            next_step="For a file of JSON lines name the file, and --collection.",
        ) from None
    except OSError as error:
        raise CliError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise CliError(f"{path} is no JSON.", code="BadManifest") from None
    try:
        return _manifest(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CliError(
            f"{path} is not as an export makes it: {error}.", code="BadManifest"
        ) from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replaces the present one at once, or not at all."""
    value = {"format": _FORMAT, "version": _VERSION, **asdict(manifest)}
    replace_file(folder / MANIFEST, json.dumps(value, ensure_ascii=False, indent=1).encode())


def replace_file(path: Path, content: bytes) -> None:
    """Durable, whole or not at all, for its owner only."""
    new = path.with_name(f"{path.name}.new")
    with open_private(new, "wb") as target:
        target.write(content)
        target.flush()
        os.fsync(target.fileno())
    new.replace(path)


def open_private(path: Path, mode: str) -> Any:
    """A binary file that its owner only may read."""
    return open(path, mode, opener=lambda name, flags: os.open(name, flags, 0o600))


def content_of(path: Path) -> Content:
    """Reads all of it. Raises CliError."""
    digest, count, size, last = hashlib.sha256(), 0, 0, b"\n"
    try:
        with path.open("rb") as source:
            while chunk := source.read(1024 * 1024):
                digest.update(chunk)
                count += chunk.count(b"\n")
                size += len(chunk)
                last = chunk[-1:]
    except OSError as error:
        raise CliError(f"{path} cannot be read: {error.strerror}.") from None
    if last != b"\n":
        count += 1
    return Content(count=count, size_bytes=size, sha256=digest.hexdigest())


def whole_lines(path: Path, *, start: int = 0) -> Iterator[bytes]:
    """Lines with their ends from a place on, which begins one; the last may have no end."""
    with path.open("rb") as source:
        source.seek(start)
        yield from source


def _manifest(value: Any) -> Manifest:
    if value["format"] != _FORMAT:
        raise ValueError(f"its format is {value['format']}")
    if value["version"] != _VERSION:
        raise ValueError(f"its version is {value['version']}, this program knows {_VERSION}")
    return Manifest(
        space_id=str(value["space_id"]),
        wanted=tuple(map(str, value["wanted"])),
        complete=value["complete"] is True,
        collections=tuple(_exported(each) for each in value["collections"]),
        policies=tuple(Policy(**each) for each in value["policies"]),
    )


def _exported(value: Any) -> Exported:
    file = str(value["file"])
    if Path(file).name != file or not file.endswith(LINES_SUFFIX):
        raise ValueError(f"{file!r} is no name of a file in the folder")
    return Exported(
        name=str(value["name"]),
        file=file,
        content=Content(**value["content"]),
        indexes=tuple(Index(**each) for each in value["indexes"]),
    )
