"""Command lines of the fault tests: every field of a dataclass of options is an argument."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from tests.chaos.results import RESULTS

RUNGS = ("process", "landlock", "bubblewrap", "docker")

_Options = TypeVar("_Options", bound="RungOptions")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RungOptions:
    """What all fault tests of a rung have in common; the others' fields are whole numbers."""

    rung: str
    results: Path = RESULTS


def read_options(kind: type[_Options], summary: str, given: Sequence[str] | None) -> _Options:
    """From the command line."""
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--rung", required=True, choices=RUNGS)
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    for field in dataclasses.fields(kind):
        if field.name not in {"rung", "results"}:
            parser.add_argument(
                f"--{field.name.replace('_', '-')}",
                type=int,
                default=field.default,
                help=f"default: {field.default}",
            )
    return kind(**vars(parser.parse_args(given)))
