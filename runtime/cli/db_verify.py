"""Whether what an import wrote is there: it is read back and compared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from runtime.cli.db_folder import whole_lines
from runtime.cli.db_space import SpaceDatabase
from runtime.cli.errors import CliError

Counted = Callable[[int], None]

_SUM_BITS = 256


class VerificationError(CliError):
    """The collection is not as the file."""

    usual_code = "ImportDiffers"


def verify_same(database: SpaceDatabase, collection: str, file: Path, counted: Counted) -> None:
    """The collection has the lines of the file and no others, in whatever order: count and checksum are
    the same. Raises VerificationError."""
    wanted_count, wanted_sum = _tally(whole_lines(file))
    count, total = _tally(_read_back(database, collection, counted))
    if count != wanted_count:
        raise _differs(collection, f"has {count:,} documents, the file {wanted_count:,}")
    if total != wanted_sum:
        raise _differs(collection, "has as many documents as the file, but not the same")


def verify_within(database: SpaceDatabase, collection: str, file: Path, counted: Counted) -> None:
    """The collection has the lines of the file among others. Both are in the order of their ids.
    Raises VerificationError."""
    present = _read_back(database, collection, counted)
    for number, line in enumerate(whole_lines(file), 1):
        if line not in present:  # reads on until it is found
            raise _differs(collection, f"lacks line {number:,} of the file, or has it changed")


def verify_count(database: SpaceDatabase, collection: str, wanted: int) -> None:
    """For files whose lines are not as the program writes them. Raises VerificationError."""
    count = database.count(collection)
    if count != wanted:
        raise _differs(
            collection,
            f"has {count:,} documents, the file {wanted:,} lines: are there ids that come twice?",
        )


def _read_back(database: SpaceDatabase, collection: str, counted: Counted) -> Iterator[bytes]:
    count = 0
    for page in database.lines(collection):
        count += len(page)
        counted(count)
        yield from page


def _tally(lines: Iterable[bytes]) -> tuple[int, int]:
    """Count, and a sum of the SHA-256 of each line: servers may differ in the order of ids of mixed kinds."""
    count, total = 0, 0
    for line in lines:
        count += 1
        total += int.from_bytes(hashlib.sha256(line).digest())
    return count, total % 2**_SUM_BITS


def _differs(collection: str, how: str) -> VerificationError:
    return VerificationError(
        f"after the import {collection} {how}.",
        next_step="Was it written to meanwhile? Run the command again with --again and --drop or --merge.",
    )
