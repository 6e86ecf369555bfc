"""What one run of the distributed form is told."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.distributed.plan import KINDS
from tests.chaos.results import RESULTS

SHORT_FAULTS = 60
FAULTS = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Times in seconds."""

    faults: int = FAULTS
    seed: int = 1
    kinds: tuple[str, ...] = ()
    """Empty = all, by their weights."""
    callers: int = 4
    producers: int = 3
    freeze_s: float = 30.0
    backlog: int = 10_000
    """Jobs of the kind `backlog`."""
    results: Path = RESULTS
    record: Path | None = None
    """The committed file of results; None = this run is not noted there."""
    keep: Path | None = None
    """Logs of the programs and of the producers stay in this folder."""


def read_options(summary: str, given: Sequence[str] | None) -> Options:
    """From the command line."""
    parser = argparse.ArgumentParser(prog="run --only distributed", description=summary)
    parser.add_argument("--faults", type=int, help=f"default: {FAULTS}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", default="", help=f"comma separated, of {', '.join(KINDS)}")
    parser.add_argument("--short", action="store_true", help=f"{SHORT_FAULTS} faults")
    parser.add_argument("--backlog", type=int, default=10_000, help="jobs of the kind backlog")
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    parser.add_argument("--record", type=Path, help="note it in this committed file, too")
    parser.add_argument("--keep", type=Path, help="leave the logs in this folder")
    read = parser.parse_args(given)
    kinds = tuple(filter(None, read.kinds.split(",")))
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"no such kinds: {', '.join(sorted(unknown))}")
    if read.keep and read.keep.exists() and any(read.keep.iterdir()):
        parser.error(f"{read.keep} is not empty: a run begins without data")
    return Options(
        faults=read.faults or (SHORT_FAULTS if read.short else FAULTS),
        seed=read.seed,
        kinds=kinds,
        backlog=read.backlog,
        results=read.results,
        record=read.record,
        keep=read.keep,
    )
