"""`yunhan db export`: the data of a space into a folder, or one collection into a file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click

from runtime.cli.client import ManagementClient
from runtime.cli.db_folder import (
    LINES_SUFFIX,
    MANIFEST,
    PART_SUFFIX,
    Content,
    Exported,
    Manifest,
    NoManifestError,
    content_of,
    file_name,
    open_private,
    read_manifest,
    write_manifest,
)
from runtime.cli.db_progress import TransferProgress
from runtime.cli.db_space import SpaceDatabase
from runtime.cli.errors import CliError, UnreachableError
from runtime.cli.lookup import find_space_id
from runtime.cli.options import json_option, remote_command
from runtime.cli.output import print_json

_AGAIN = "Run the same command again: it goes on where it was."


@click.command("export", short_help="Write all documents to files, with indexes and rules.")
@click.argument("space", metavar="SPACE")
@click.argument("target", metavar="FOLDER|FILE.jsonl", type=click.Path(path_type=Path))
@click.option(
    "--collection", "collections", multiple=True, metavar="NAME", help="Only this; can be repeated."
)
@json_option
@remote_command
def export(
    client: ManagementClient, space: str, target: Path, collections: Sequence[str], as_json: bool
) -> None:
    """Write documents as canonical extended JSON, one a line, with their ids and owners; a folder has the
    indexes and access rules, too. An interrupted export goes on when it is run again.

    It is no snapshot: what is written meanwhile may be in its old state or its new one."""
    database = SpaceDatabase(client, find_space_id(client, space))
    try:
        if target.suffix == LINES_SUFFIX:
            told = _export_file(database, target, collections)
        else:
            told = _export_folder(database, target, collections)
    except UnreachableError as error:
        error.next_step = " ".join(filter(None, (error.next_step, _AGAIN)))
        raise
    except OSError as error:
        raise CliError(f"{target} cannot be written: {error.strerror}.") from None
    if as_json:
        print_json(told)


def _export_file(
    database: SpaceDatabase, target: Path, collections: Sequence[str]
) -> dict[str, Any]:
    if len(collections) != 1:
        raise click.UsageError("a file takes one --collection; all go into a folder")
    if target.exists():
        raise CliError(f"{target} is there already.", code="TargetExists")
    _require(database, collections)
    content = Export(database, TransferProgress()).lines(collections[0], target)
    return {"file": str(target), "collection": collections[0], **_told(content)}


def _export_folder(
    database: SpaceDatabase, folder: Path, collections: Sequence[str]
) -> dict[str, Any]:
    progress = TransferProgress()
    manifest = _begun(database, folder, collections)
    resumed = bool(manifest.collections)
    names = _require(database, collections) if collections else database.collections()
    done = {each.name for each in manifest.collections}
    work = Export(database, progress)
    for name in names:
        if name in done:
            progress.say(f"{name}: was exported before.")
            continue
        file = file_name(name)
        indexes = tuple(database.indexes(name))
        content = work.lines(name, folder / file)
        manifest = manifest.having(Exported(name=name, file=file, content=content, indexes=indexes))
        write_manifest(folder, manifest)
    policies = [each for each in database.policies() if not collections or each.collection in names]
    manifest = replace(manifest, policies=tuple(policies), complete=True)
    write_manifest(folder, manifest)
    total = sum(each.content.count for each in manifest.collections)
    progress.say(
        f"Exported to {folder}: {len(manifest.collections)} collections, {total:,} documents,"
        f" {len(policies)} rules."
    )
    return {
        "folder": str(folder),
        "resumed": resumed,
        "collections": [
            {"collection": each.name, "file": each.file, **_told(each.content)}
            for each in manifest.collections
        ],
        "rules": len(policies),
    }


def _begun(database: SpaceDatabase, folder: Path, collections: Sequence[str]) -> Manifest:
    """The manifest of this export, which may have been begun before. Raises CliError rather than write over
    something else."""
    new = Manifest(space_id=database.space_id, wanted=tuple(sorted(set(collections))))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        manifest = read_manifest(folder)
    except NoManifestError:
        if any(folder.iterdir()):
            raise CliError(
                f"{folder} is not empty and has no {MANIFEST}.",
                code="TargetExists",
                next_step="Name a folder that is empty or not there.",
            ) from None
        write_manifest(folder, new)
        return new
    if manifest.complete or (manifest.space_id, manifest.wanted) != (new.space_id, new.wanted):
        what = "a complete export" if manifest.complete else "the beginning of another export"
        raise CliError(
            f"{folder} has {what}, of space {manifest.space_id}.",
            code="TargetExists",
            next_step="Name a folder that is empty or not there.",
        )
    return manifest


def _require(database: SpaceDatabase, collections: Sequence[str]) -> list[str]:
    """The names, each once. Raises CliError for one that is not there."""
    present = database.collections()
    missing = [name for name in collections if name not in present]
    if missing:
        raise CliError(
            f"the space has no collection {missing[0]}.",
            code="CollectionNotFound",
            next_step=f"It has: {', '.join(present)}." if present else "It has none.",
        )
    return list(dict.fromkeys(collections))


def _told(content: Content) -> dict[str, Any]:
    told = asdict(content)
    return {"count": told["count"], "bytes": told["size_bytes"], "sha256": told["sha256"]}


@dataclass(frozen=True, slots=True)
class Export:
    """Writes files of lines."""

    database: SpaceDatabase
    progress: TransferProgress

    def lines(self, collection: str, target: Path) -> Content:
        """All documents of a collection; `target` is there when they all are. Goes on with what an earlier
        run wrote of it."""
        part = target.with_name(target.name + PART_SUFFIX)
        expected = self.database.count(collection)
        after = _whole_part(part)
        done = content_of(part).count if after else 0
        if done:
            self.progress.say(f"{collection}: goes on after {done:,} documents.")
        with open_private(part, "ab") as file:
            for page in self.database.lines(collection, after=after):
                file.writelines(page)
                file.flush()
                done += len(page)
                self.progress.at(collection, done, expected)
            os.fsync(file.fileno())
        content = content_of(part)
        if content.count != done:
            raise CliError(
                f"{part} has {content.count} documents and not the {done} that were written to it.",
                code="FileDamaged",
                next_step="Remove it and run the command again.",
            )
        part.replace(target)
        self._tell(collection, content, expected)
        return content

    def _tell(self, collection: str, content: Content, expected: int) -> None:
        text = f"{collection}: {content.count:,} documents, SHA-256 {content.sha256}"
        now = expected if content.count == expected else self.database.count(collection)
        if content.count != now:
            text += f"; the collection has {now:,}, so it was written to meanwhile"
        self.progress.say(text)


def _whole_part(part: Path) -> str | None:
    """Cuts what an interruption left of a line. The `_id` of the last one, None when there is none.

    A part may be long and its last line, too: it is sought from the end."""
    try:
        with part.open("r+b") as file:
            end = _line_end_before(file, file.seek(0, os.SEEK_END))
            file.truncate(end)
            if not end:
                return None
            start = _line_end_before(file, end - 1)
            file.seek(start)
            return json.dumps(json.loads(file.read(end - start))["_id"], ensure_ascii=False)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise CliError(
            f"{part} has a line that is no document.",
            code="FileDamaged",
            next_step="Remove it and run the command again.",
        ) from None


def _line_end_before(file: Any, at: int) -> int:
    """The place behind the last line end before `at`; 0 when there is none."""
    while at:
        begin = max(0, at - 65_536)
        file.seek(begin)
        found = file.read(at - begin).rfind(b"\n")
        if found >= 0:
            return int(begin + found + 1)
        at = begin
    return 0
