"""Limits of one sandbox by the kernel's control groups, of version 1 or 2. Blocking, but short.

Version 1 needs root, version 2 a delegated subtree (systemd: `Delegate=yes`). The groups of a worker
are below one folder named after its run directory, so that the next start finds a dead worker's.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

_log = structlog.get_logger(__name__)

_MOUNT = Path("/sys/fs/cgroup")
_CPU_PERIOD_US = 100_000
# How long processes that were killed may take to be gone.
_EMPTY_WAIT_S = 1.0
_EMPTY_PAUSE_S = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLimits:
    """`memory_bytes` includes swap, `pids` counts threads, `cpus` is 1.0 for one whole processor."""

    memory_bytes: int
    pids: int
    cpus: float


class CgroupFolders(ABC):
    """The folder, or folders, in which a worker makes the groups of its sandboxes."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = tuple(roots)

    def make(self, sandbox_id: str, limits: GroupLimits) -> Cgroup:
        """A new group without processes. Raises OSError, and leaves nothing behind then."""
        group = Cgroup([root / sandbox_id for root in self._roots], self._killed_at())
        try:
            for folder in group.folders:
                folder.mkdir()
            self._limit(group.folders, limits)
        except OSError:
            group.remove()
            raise
        return group

    def sweep(self) -> int:
        """Kill and remove what a dead worker left; how many groups that were."""
        names = {entry for root in self._roots for entry in root.iterdir() if entry.is_dir()}
        for folder in names:
            Cgroup([folder], self._killed_at()).remove()
        return len({folder.name for folder in names})

    @abstractmethod
    def _limit(self, folders: Sequence[Path], limits: GroupLimits) -> None:
        """Write the limits. Raises OSError."""

    @abstractmethod
    def _killed_at(self) -> str:
        """The file whose line `oom_kill N` counts the processes that a memory limit ended."""


class Cgroup:
    """The groups of one sandbox, one folder for each hierarchy."""

    def __init__(self, folders: Sequence[Path], killed_at: str) -> None:
        self.folders = tuple(folders)
        self._killed_at = killed_at

    @property
    def procs(self) -> list[str]:
        """The files into which a process writes 0 to join."""
        return [str(folder / "cgroup.procs") for folder in self.folders]

    @property
    def out_of_memory(self) -> bool:
        """Whether the memory limit ended a process. Only before `remove`."""
        for folder in self.folders:
            with contextlib.suppress(OSError):
                for line in (folder / self._killed_at).read_text().splitlines():
                    if line.startswith("oom_kill "):
                        return line.split()[1] != "0"
        return False

    def remove(self) -> None:
        """Kill what is still in it and remove it. Idempotent. What stays is logged."""
        deadline = time.monotonic() + _EMPTY_WAIT_S
        for folder in self.folders:
            while True:
                _kill_all(folder)
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError as error:
                    if time.monotonic() < deadline:
                        time.sleep(_EMPTY_PAUSE_S)
                        continue
                    _log.warning("cgroup_not_removed", group=str(folder), reason=str(error))
                break


class CgroupFoldersV1(CgroupFolders):
    """Separate hierarchies for memory, pids and cpu."""

    def _limit(self, folders: Sequence[Path], limits: GroupLimits) -> None:
        memory, pids, cpu = folders
        _write(memory / "memory.limit_in_bytes", limits.memory_bytes)
        with_swap = memory / "memory.memsw.limit_in_bytes"
        if with_swap.exists():  # absent without swap accounting
            _write(with_swap, limits.memory_bytes)
        _write(pids / "pids.max", limits.pids)
        _write(cpu / "cpu.cfs_period_us", _CPU_PERIOD_US)
        _write(cpu / "cpu.cfs_quota_us", round(limits.cpus * _CPU_PERIOD_US))

    def _killed_at(self) -> str:
        return "memory.oom_control"


class CgroupFoldersV2(CgroupFolders):
    """The unified hierarchy."""

    def _limit(self, folders: Sequence[Path], limits: GroupLimits) -> None:
        (folder,) = folders
        _write(folder / "memory.max", limits.memory_bytes)
        swap = folder / "memory.swap.max"
        if swap.exists():
            _write(swap, 0)
        _write(folder / "memory.oom.group", 1)
        _write(folder / "pids.max", limits.pids)
        _write(folder / "cpu.max", f"{round(limits.cpus * _CPU_PERIOD_US)} {_CPU_PERIOD_US}")

    def _killed_at(self) -> str:
        return "memory.events"


def open_cgroups(
    run_dir: Path, *, mount: Path = _MOUNT, own: Path = Path("/proc/self/cgroup")
) -> CgroupFolders | None:
    """Make the folder of this worker's groups; None where no control groups can be written.

    The name comes from `run_dir`, which one live worker has for itself.
    """
    name = f"yunhan-{hashlib.sha256(os.fsencode(run_dir)).hexdigest()[:12]}"
    try:
        if (mount / "cgroup.controllers").exists():
            return CgroupFoldersV2([_open_v2(mount, own, name)])
        # At the top of each hierarchy: the worker's own place may be another one at its next start.
        roots = [mount / controller / name for controller in ("memory", "pids", "cpu")]
        for root in roots:
            root.parent.stat()
            root.mkdir(exist_ok=True)
            if not os.access(root, os.W_OK):
                return None
    except OSError:
        return None
    return CgroupFoldersV1(roots)


def close_cgroups(folders: CgroupFolders) -> None:
    """Remove the worker's folder once its sandboxes are gone. Idempotent."""
    for root in folders._roots:  # noqa: SLF001 - the other half of open_cgroups
        with contextlib.suppress(OSError):
            root.rmdir()


def _open_v2(mount: Path, own: Path, name: str) -> Path:
    """A folder below the worker's own group that hands the three controllers on.

    A group with controllers for its children may hold no process itself (cgroup-v2, "no internal
    processes"), so the worker moves into a child first.
    """
    line = next(line for line in own.read_text().splitlines() if line.startswith("0::"))
    group = mount / line.removeprefix("0::").lstrip("/")
    if group.name == "yunhan-worker":
        group = group.parent
    controllers = (group / "cgroup.controllers").read_text().split()
    if not {"memory", "pids", "cpu"} <= set(controllers):
        raise OSError("not delegated")
    worker = group / "yunhan-worker"
    worker.mkdir(exist_ok=True)
    _write(worker / "cgroup.procs", 0)
    _write(group / "cgroup.subtree_control", "+memory +pids +cpu")
    root = group / name
    root.mkdir(exist_ok=True)
    _write(root / "cgroup.subtree_control", "+memory +pids +cpu")
    return root


def _kill_all(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for pid in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(pid), signal.SIGKILL)


def _write(path: Path, value: object) -> None:
    path.write_text(f"{value}\n")
