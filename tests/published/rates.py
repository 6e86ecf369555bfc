"""How many of the published cases hold: `python -m tests.published.rates`.

On the embedded server, or on that of `MONGODB_URI`; its databases are made and dropped."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.harness.documents import Documents
from tests.published.by_service import has_service
from tests.published.case import Case
from tests.published.purposes import PURPOSES
from tests.published.run import Target, Way, read_runs, run_case

_COLUMNS: Final[Sequence[tuple[str, Way, Callable[[Case], bool]]]] = (
    ("core", Way.SERVICE, lambda case: not case.is_transaction),
    ("core", Way.DRIVER, lambda case: not case.is_transaction and has_service(case)),
    ("all", Way.DRIVER, lambda case: not case.is_transaction),
    ("tx", Way.SERVICE, lambda case: case.is_transaction),
    ("tx", Way.DRIVER, lambda case: case.is_transaction),
)
"""Which cases through whom. core: operations that the SDKs have."""

Failures = Mapping[tuple[Way, str, str], str]
"""By way, table and case: what was not as expected."""


def table_of(runs: Sequence[tuple[Way, Case]], failures: Failures) -> str:
    """Two rates: of all, and of those that are not otherwise on purpose, which fail when they are not as
    marked."""
    lines = [
        f"{'':6}{'through':9}{'cases':>6}{'passed':>8}{'on purpose':>12}{'failed':>8}"
        f"{'of all':>9}{'of the rest':>13}"
    ]
    for column, way, belongs in _COLUMNS:
        cases = [case for by, case in runs if by is way and belongs(case)]
        failed = {case.name for case in cases if (way, case.table, case.name) in failures}
        marked = [case for case in cases if way is Way.SERVICE and case.ours is not None]
        otherwise = sum(case.name not in failed for case in marked)
        passed = len(cases) - len(failed) - otherwise
        counted = passed + len(failed)
        rates = f"{_percent(passed, len(cases)):>9}{_percent(passed, counted):>13}"
        lines.append(
            f"{column:6}{way:9}{len(cases):6}{passed:8}{otherwise:12}{len(failed):8}{rates}"
        )
    return "\n".join(lines)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"


def purposes_of(runs: Sequence[tuple[Way, Case]]) -> str:
    """How many cases each of the reasons is marked at."""
    marks = Counter(
        case.ours.why for way, case in runs if way is Way.SERVICE and case.ours is not None
    )
    return "\n".join(f"{marks[why]:4} on purpose: {PURPOSES[why]}" for why in PURPOSES)


async def _run(url: str, *, drop: bool) -> int:
    runs = read_runs()
    failures: dict[tuple[Way, str, str], str] = {}
    async with Target.open(url, drop=drop) as target:
        for way, case in runs:
            try:
                await run_case(way, case, target)
            except Exception as error:  # noqa: BLE001 - counted and told
                failures[way, case.table, case.name] = f"{type(error).__name__}: {error}"
    print(table_of(runs, failures), purposes_of(runs), sep="\n\n")
    for (way, table, name), text in failures.items():
        print(f"failed through {way}: {table}, {name}: {text[:500]}")
    return 1 if failures else 0


def main() -> int:
    """0 when all hold."""
    if url := os.environ.get("MONGODB_URI", ""):
        return asyncio.run(_run(url, drop=True))
    with tempfile.TemporaryDirectory() as folder:
        documents = Documents(Path(folder)).start()
        try:
            return asyncio.run(_run(documents.url, drop=False))
        finally:
            documents.stop()


if __name__ == "__main__":
    sys.exit(main())
