"""Processor time by program: on a machine that others use, too, it tells more than the clock. Linux only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    pids = [pid]
    for task in (_PROC / str(pid) / "task").iterdir():
        with suppress(OSError):
            for child in (task / "children").read_text().split():
                pids += tree(int(child))
    return pids


def used_us(pids: Iterable[int]) -> float:
    """Microseconds of processor time that these processes have used; none for one that is gone."""
    total_ns = 0
    for pid in pids:
        with suppress(OSError):
            for task in (_PROC / str(pid) / "task").iterdir():
                with suppress(OSError):
                    total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1000


class ProcessorTime:
    """What named groups of processes used over some stretches, for each call."""

    def __init__(self, groups: Mapping[str, Iterable[int]]) -> None:
        self._groups = {name: list(pids) for name, pids in groups.items()}
        self._used = dict.fromkeys(self._groups, 0.0)
        self._calls = 0

    def __enter__(self) -> None:
        self._add(-1)

    def __exit__(self, *_: object) -> None:
        self._add(1)

    def count(self, calls: int) -> None:
        """So many calls were made."""
        self._calls += calls

    def per_call_us(self) -> dict[str, float]:
        return {name: used / max(1, self._calls) for name, used in self._used.items()}

    def _add(self, sign: int) -> None:
        for name, pids in self._groups.items():
            self._used[name] += sign * used_us(pids)
