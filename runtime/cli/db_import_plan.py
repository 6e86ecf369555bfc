"""What an import is about to do: its source checked, and its target, before anything is changed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from runtime.cli.db_folder import MANIFEST, Content, content_of, read_manifest
from runtime.cli.db_import_state import ImportState
from runtime.cli.db_space import Index, Policy, SpaceDatabase
from runtime.cli.errors import CliError


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One collection and the file of its documents."""

    collection: str
    file: Path
    content: Content
    indexes: tuple[Index, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Everything that is to be imported. `exported`: by `yunhan db export`, so that its lines are as the
    program writes them, in the order of their ids."""

    path: Path
    digest: str
    exported: bool
    parts: tuple[Part, ...]
    policies: tuple[Policy, ...] = ()


def read_source(path: Path, collections: Sequence[str]) -> Source:
    """Every file is read once and compared with its checksum. Raises CliError, UsageError."""
    if not path.exists():
        raise CliError(f"there is no {path}.", code="SourceNotFound")
    if path.is_dir():
        return _folder(path, collections)
    if not path.is_file():
        raise CliError(f"{path} is no file: it is read more than once.", code="SourceNotFound")
    if len(collections) != 1:
        raise click.UsageError("a file goes into one --collection")
    content = content_of(path)
    part = Part(collection=collections[0], file=path, content=content)
    return Source(path=path, digest=content.sha256, exported=False, parts=(part,))


def check_target(
    database: SpaceDatabase, source: Source, state: ImportState, *, may_have: bool
) -> set[str]:
    """The collections that are there. Raises CliError for one that has documents that this import did not
    write, unless it may have some."""
    present = set(database.collections())
    if may_have:
        return present
    for part in source.parts:
        if part.collection in present and state.of(part.collection) is None:
            count = database.count(part.collection)
            if count:
                raise CliError(
                    f"collection {part.collection} has {count:,} documents already.",
                    code="CollectionNotEmpty",
                    next_step="--merge keeps them (of the same id the imported one wins), --drop"
                    " removes them first.",
                )
    return present


def _folder(path: Path, collections: Sequence[str]) -> Source:
    manifest = read_manifest(path)
    if not manifest.complete:
        raise CliError(
            f"the export in {path} is not complete.",
            code="ExportIncomplete",
            next_step="Run the `yunhan db export` that made it again: it goes on where it was.",
        )
    names = [each.name for each in manifest.collections]
    missing = [name for name in collections if name not in names]
    if missing:
        raise CliError(
            f"the export has no collection {missing[0]}.",
            code="CollectionNotFound",
            next_step=f"It has: {', '.join(names)}.",
        )
    wanted = set(collections or names)
    parts = []
    for each in manifest.collections:
        if each.name in wanted:
            file = path / each.file
            if content_of(file) != each.content:
                raise CliError(
                    f"{file} is not as it was exported: its count or SHA-256 differs from"
                    f" {MANIFEST}.",
                    code="FileDamaged",
                )
            parts.append(
                Part(collection=each.name, file=file, content=each.content, indexes=each.indexes)
            )
    policies = [each for each in manifest.policies if not collections or each.collection in wanted]
    return Source(
        path=path,
        digest=hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest(),
        exported=True,
        parts=tuple(parts),
        policies=tuple(policies),
    )
