"""What a control group counts, through descriptors that stay open: opening costs ten times a reading."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from sandbox.meter import Meter

_MIB = 1024 * 1024
_READ_BYTES = 1024
_NINE = ord("9")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterFiles:
    """Where the figures of one group are; a file that is not there is a figure that is not known.

    `cpu` is processor time, `cpu_per_ms` its unit; `peak` and `current` are bytes of memory; a line
    `oom_kill N` of `killed` counts processes that the memory limit ended.
    """

    cpu: Path
    cpu_per_ms: float
    peak: Path
    current: Path
    killed: Path


class GroupMeter(Meter):
    """Owns up to four descriptors until `close`, after which nothing is known."""

    def __init__(self, files: MeterFiles) -> None:
        self._cpu_per_ms = files.cpu_per_ms
        self._cpu = _open(files.cpu, os.O_RDONLY)
        self._killed = _open(files.killed, os.O_RDONLY)
        self._peak = _open(files.peak, os.O_RDWR)
        # A writing means "from now on": in version 1, in version 2 since Linux 6.12 and for this descriptor.
        self._restarts = self._peak is not None and _restart(self._peak)
        if self._peak is None:
            self._peak = _open(files.peak, os.O_RDONLY)
        self._current = None if self._restarts else _open(files.current, os.O_RDONLY)
        self._kept: dict[int, bytes] = {}
        self._peak_before = 0
        self._current_before = 0
        self._killed_before = 0

    def close(self) -> None:
        """Idempotent."""
        for descriptor in (self._cpu, self._killed, self._peak, self._current):
            if descriptor is not None:
                os.close(descriptor)
        self._cpu = self._killed = self._peak = self._current = None
        self._restarts = False

    def begin(self) -> None:
        self._killed_before = self._kills()
        if self._restarts and self._peak is not None:
            _restart(self._peak)
        else:
            self._peak_before = self._number(self._peak) or 0
            self._current_before = self._number(self._current) or 0

    def cpu_ms(self) -> float | None:
        used = self._number(self._cpu)
        return None if used is None else used / self._cpu_per_ms

    def peak_mb(self, told: float | None) -> float | None:
        peak = self._number(self._peak)
        if peak is not None and not self._restarts and peak <= self._peak_before:
            # Not higher than ever before: of its own is known what there was at both ends.
            peak = max(self._number(self._current) or 0, self._current_before)
        return round(peak / _MIB, 3) if peak else told

    def out_of_memory(self) -> bool:
        return self._kills() > self._killed_before

    def keep(self) -> None:
        """The group may be removed by somebody else now: what it says is kept for later questions."""
        for descriptor in (self._cpu, self._killed, self._peak, self._current):
            if descriptor is not None:
                self._kept[descriptor] = self._read(descriptor)

    def _number(self, descriptor: int | None) -> int | None:
        """The first number of a file: it is the only one, or stands behind its name."""
        text = self._read(descriptor)
        if not text:
            return None
        return int(text) if text[0] <= _NINE else int(text.split(None, 2)[1])

    def _read(self, descriptor: int | None) -> bytes:
        """Empty for what is not there, or is gone."""
        if descriptor is None:
            return b""
        try:
            return os.pread(descriptor, _READ_BYTES, 0)
        except OSError:
            return self._kept.get(descriptor, b"")

    def _kills(self) -> int:
        _, found, count = self._read(self._killed).partition(b"oom_kill ")
        return int(count.split(None, 1)[0]) if found else 0


def _open(path: Path, flags: int) -> int | None:
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError:
        return None


def _restart(descriptor: int) -> bool:
    with contextlib.suppress(OSError):
        return os.pwrite(descriptor, b"0", 0) == 1
    return False
