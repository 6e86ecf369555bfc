"""What a run found: printed for people, and one JSON line more in the file of results."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path("reports/chaos.jsonl")
"""Where runs are noted unless told otherwise, below the current folder."""
_SHOWN_MAX = 20
_UNSHOWN = frozenset({"violations", "counts"})
_PROJECT = Path(__file__).resolve().parents[2]


def note(kind: str, figures: Mapping[str, Any], results: Path) -> int:
    """Print and append the figures of one run, which hold its `violations`; the program's exit code."""
    line = {
        "kind": kind,
        "commit": commit(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "uid": os.geteuid(),
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        **figures,
    }
    for name, value in line.items():
        if name not in _UNSHOWN:
            print(f"{name:>20}  {value}")
    for violation in figures["violations"][:_SHOWN_MAX]:
        print(f"  VIOLATION {violation}")
    text = json.dumps(line)
    print(text)
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("a") as file:
        file.write(text + "\n")
    print(f"noted in {results.absolute()}")
    return 1 if figures["violations"] else 0


def commit(*, besides: Path | None = None) -> str:
    """Of the code that runs; with `-dirty` when files other than `besides` differ from it, "unknown" without
    git."""
    wanted = ["--", ".", f":!{besides}"] if besides else []
    try:
        name = _git("rev-parse", "HEAD")
        return f"{name}-dirty" if _git("status", "--porcelain", *wanted) else name
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Smallest, largest, mean and some in between."""
    if not values:
        return {}
    ordered = sorted(values)
    at = {"min": 0.0, "p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    found = {name: ordered[int(part * (len(ordered) - 1))] for name, part in at.items()}
    found["mean"] = statistics.fmean(ordered)
    return {name: round(value, 3) for name, value in found.items()}


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(_PROJECT), *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()
