"""`yunhan db import`: what `yunhan db export` wrote, or a file of JSON lines, into a space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from runtime.cli.client import ManagementClient
from runtime.cli.db_folder import whole_lines
from runtime.cli.db_import_plan import Part, Source, check_target, read_source
from runtime.cli.db_import_state import ImportState, Loaded
from runtime.cli.db_lines import LineError, document_line
from runtime.cli.db_progress import TransferProgress
from runtime.cli.db_space import SpaceDatabase
from runtime.cli.db_verify import verify_count, verify_same, verify_within
from runtime.cli.errors import CliError, RemoteError, UnreachableError
from runtime.cli.lookup import find_space_id
from runtime.cli.options import json_option, remote_command
from runtime.cli.output import print_json

BATCH_LINES, BATCH_BYTES = 500, 512 * 1024
"""Half of what a program takes by default: documents grow a little on the way."""
_AGAIN = "Run the same command again: it goes on where it was."


@click.command("import", short_help="Read what export wrote, or a file of JSON lines.")
@click.argument("space", metavar="SPACE")
@click.argument("source", metavar="FOLDER|FILE", type=click.Path(path_type=Path))
@click.option(
    "--collection",
    "collections",
    multiple=True,
    metavar="NAME",
    help="Of a folder only this, can be repeated; of a file where its documents go.",
)
@click.option("--merge", is_flag=True, help="Into collections that have documents, too.")
@click.option("--drop", is_flag=True, help="Remove the collections first.")
@click.option(
    "--plain",
    is_flag=True,
    help="Of a file: ids of 24 hexadecimal digits are object ids, times like"
    " 2026-11-21T08:00:00.000Z are dates.",
)
@click.option(
    "--rules",
    type=click.Choice(["missing", "replace", "none"]),
    default="missing",
    show_default=True,
    help="Access rules: of collections that have none here, all, or none.",
)
@click.option("--again", is_flag=True, help="From the start, whatever an earlier run has done.")
@json_option
@remote_command
def import_(  # noqa: PLR0917  # click passes options by name
    client: ManagementClient,
    space: str,
    source: Path,
    collections: Sequence[str],
    merge: bool,
    drop: bool,
    plain: bool,
    rules: str,
    again: bool,
    as_json: bool,
) -> None:
    """Write documents, one a line (extended JSON), with their ids; of a folder indexes and access rules, too.
    What is written is read back and compared. An interrupted import goes on when it is run again."""
    if merge and drop:
        raise click.UsageError("--merge and --drop exclude each other")
    if plain and source.is_dir():
        raise click.UsageError("--plain is for a file: an export has its types")
    database = SpaceDatabase(client, find_space_id(client, space))
    checked = read_source(source, collections)
    state = ImportState(source, database.space_id, checked.digest)
    if not again:
        state.read()
    progress = TransferProgress()
    work = _Import(database, state, progress, merge=merge, drop=drop, plain=plain)
    try:
        told = work.run(checked, rules)
    except UnreachableError as error:
        error.next_step = " ".join(filter(None, (error.next_step, _AGAIN)))
        raise
    state.forget()
    if as_json:
        print_json(told)


@dataclass(frozen=True, slots=True)
class _Import:
    database: SpaceDatabase
    state: ImportState
    progress: TransferProgress
    merge: bool
    drop: bool
    plain: bool

    def run(self, source: Source, rules: str) -> dict[str, Any]:
        """What was done, for scripts."""
        present = check_target(self.database, source, self.state, may_have=self.merge or self.drop)
        # before the documents: whoever may read none must not read them in between
        rules_set = self._set_rules(source, rules)
        rows = [self._part(part, source, part.collection in present) for part in source.parts]
        documents = sum(part.content.count for part in source.parts)
        self.progress.say(
            f"Imported and compared: {len(rows)} collections, {documents:,} documents;"
            f" {rules_set} rules set."
        )
        return {"source": str(source.path), "collections": rows, "rules": rules_set}

    def _part(self, part: Part, source: Source, present: bool) -> dict[str, Any]:
        begun = self.state.of(part.collection)
        if begun is None:
            if present and self.drop:
                self.database.drop(part.collection)
                present = False
            self.state.write(part.collection, Loaded())
        elif begun.lines:
            self.progress.say(f"{part.collection}: goes on after {begun.lines:,} documents.")
        if not present and part.collection not in self.database.collections():
            self.database.create(part.collection)
        self._load(part, source.exported, begun or Loaded())
        for index in part.indexes:  # made at once of all is much faster than kept meanwhile
            self.database.create_index(part.collection, index)
        verified = self._verify(part, source.exported)
        self.progress.say(
            f"{part.collection}: {part.content.count:,} documents, {len(part.indexes)} indexes,"
            f" compared by {verified}."
        )
        return {
            "collection": part.collection,
            "count": part.content.count,
            "sha256": part.content.sha256,
            "indexes": len(part.indexes),
            "comparedBy": verified,
        }

    def _load(self, part: Part, exported: bool, loaded: Loaded) -> None:
        for batch in _batches(part, loaded):
            lines = batch.lines if exported else self._documents(batch, part)
            try:
                self.database.load(part.collection, lines)
            except RemoteError as error:
                first, last = batch.first, batch.end.lines
                raise RemoteError(
                    error.code,
                    f"lines {first:,} to {last:,} of {part.file.name}: {error.told}",
                    next_step=_AGAIN,
                ) from None
            self.state.write(part.collection, batch.end)
            self.progress.at(part.collection, batch.end.lines, part.content.count)

    def _documents(self, batch: _Batch, part: Part) -> list[bytes]:
        documents = []
        for number, line in enumerate(batch.lines, batch.first):
            if line.strip():
                try:
                    documents.append(document_line(line, number, plain=self.plain))
                except LineError as error:
                    raise CliError(
                        f"line {number:,} of {part.file} {error}.", code="BadLine"
                    ) from None
        return documents

    def _verify(self, part: Part, exported: bool) -> str:
        def counted(count: int) -> None:
            self.progress.at(f"{part.collection}, compared", count, 0)

        if exported and self.merge:
            verify_within(self.database, part.collection, part.file, counted)
            return "content"
        if exported:
            verify_same(self.database, part.collection, part.file, counted)
            return "checksum"
        if self.merge:
            return "arrival"  # the program compared the checksum of every page
        filled = sum(1 for line in whole_lines(part.file) if line.strip())
        verify_count(self.database, part.collection, filled)
        return "count"

    def _set_rules(self, source: Source, which: str) -> int:
        if which == "none" or not source.policies:
            return 0
        present = {each.collection: each for each in self.database.policies()}
        count = 0
        for policy in source.policies:
            here = present.get(policy.collection)
            if here == policy:
                continue
            if here is not None and which == "missing":
                self.progress.say(
                    f"The rule of {policy.collection} here differs from the export's and stays"
                    " (--rules replace)."
                )
                continue
            self.database.set_policy(policy)
            count += 1
        return count


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """Lines that go together. `first` is the number of the first one, from 1."""

    first: int
    lines: list[bytes]
    end: Loaded


def _batches(part: Part, loaded: Loaded) -> Iterator[_Batch]:
    """What is not loaded yet. A line that is larger than a batch is one of its own."""
    lines: list[bytes] = []
    size = 0

    def made() -> _Batch:
        end = Loaded(lines=loaded.lines + len(lines), offset=loaded.offset + size)
        return _Batch(first=loaded.lines + 1, lines=lines, end=end)

    for line in whole_lines(part.file, start=loaded.offset):
        if lines and (len(lines) >= BATCH_LINES or size + len(line) > BATCH_BYTES):
            batch = made()
            yield batch
            loaded, lines, size = batch.end, [], 0
        lines.append(line)
        size += len(line)
    if lines:
        yield made()
