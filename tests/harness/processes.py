"""What the kernel says of processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


def stat_of(pid: int) -> list[str]:
    """The fields of `/proc/PID/stat` from the state on. Raises OSError when there is no such process."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def all_stats() -> Iterator[tuple[int, list[str]]]:
    """Every process with its fields, those that nobody reaped included."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                yield int(entry.name), stat_of(int(entry.name))
