"""The committed file of results of the distributed runs, one JSON line each, and the table of its sums."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.chaos.distributed.plan import FREEZE, PROCESSES, STORES

RECORDS = Path("docs/faults.jsonl")
"""Below the project. Running and noting something there is no change of the code that ran."""
_COLUMNS = (
    ("at", "at"),
    ("commit", "commit"),
    ("seed", "seed"),
    ("faults", "faults"),
    ("kills", "kills"),
    ("stores", "stores"),
    ("freezes", "freezes"),
    ("others", "others"),
    ("accepted", "accepted"),
    ("calls", "calls"),
    ("slowest", "longest recovery"),
    ("peak", "peak MB"),
    ("verdict", "verdict"),
)


def append(path: Path, commit: str, figures: Mapping[str, Any]) -> None:
    """One line for one run."""
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.replace("-dirty", "+changes"),
        **{name: value for name, value in figures.items() if name not in {"notes", "call_s"}},
        "verdict": "failed" if figures["violations"] else "passed",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def groups(by_kind: Mapping[str, int]) -> Counter[str]:
    """Faults by the groups of the requirement. A program killed while idle is a process kill, too."""
    found: Counter[str] = Counter()
    for kind, count in by_kind.items():
        plain = kind.partition(" ")[0]
        group = "kills" if plain in PROCESSES else "stores" if plain in STORES else "others"
        found["freezes" if plain in FREEZE else group] += count
    return found


def summary(path: Path) -> str:
    """A table of all runs, and the sums of those of a clean tree: all of them, and those that passed."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    rows = [_row(line) for line in lines]
    clean = [
        row
        for row, line in zip(rows, lines, strict=True)
        if not line["commit"].endswith("+changes")
    ]
    passed = [row for row in clean if row["verdict"] == "passed"]
    sums = [_sum("all", clean, len(rows)), _sum("passed", passed, len(rows))]
    table = [dict(_COLUMNS), *rows, *sums]
    widths = {name: max(len(row[name]) for row in table) for name, _ in _COLUMNS}
    return "\n".join(
        "  ".join(row[name].ljust(widths[name]) for name, _ in _COLUMNS).rstrip() for row in table
    )


def _sum(title: str, counted: Sequence[Mapping[str, str]], runs: int) -> dict[str, str]:
    sums = dict.fromkeys(name for name, _ in _COLUMNS) | {
        name: str(sum(int(row[name]) for row in counted))
        for name in ("faults", "kills", "stores", "freezes", "others", "accepted", "calls")
    }
    sums |= {"at": title, "commit": f"{len(counted)} of {runs} runs"}
    return {name: value or "" for name, value in sums.items()}


def _row(line: Mapping[str, Any]) -> dict[str, str]:
    found = groups(line["by_kind"])
    commit, _, changes = line["commit"].partition("+")
    return {
        "at": line["at"][:16],
        "commit": commit[:10] + (f"+{changes}" if changes else ""),
        "seed": str(line["seed"]),
        "faults": str(line["faults"]),
        **{name: str(found[name]) for name in ("kills", "stores", "freezes", "others")},
        "accepted": str(line["accepted"]),
        "calls": str(sum(line["sync"].values())),
        "slowest": f"{line['recovered_max_s']} s",
        "peak": "/".join(str(value) for value in line["peak_mb"].values()),
        "verdict": _verdict(line),
    }


def _verdict(line: Mapping[str, Any]) -> str:
    count = line.get("violation_count", 0)
    return line["verdict"] if line["verdict"] == "passed" else f"failed ({count}, see the file)"
