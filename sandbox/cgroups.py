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

from sandbox.cgroup_meter import GroupMeter, MeterFiles

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
        group = Cgroup([root / sandbox_id for root in self._roots])
        try:
            for folder in group.folders:
                folder.mkdir()
            self._limit(group.folders, limits)
        except OSError:
            group.remove()
            raise
        group.meter = GroupMeter(self._figures(group.folders))
        return group

    def sweep(self) -> int:
        """Kill and remove what a dead worker left; how many groups that were."""
        names = {entry for root in self._roots for entry in root.iterdir() if entry.is_dir()}
        for folder in names:
            Cgroup([folder]).remove()
        return len({folder.name for folder in names})

    @abstractmethod
    def _limit(self, folders: Sequence[Path], limits: GroupLimits) -> None:
        """Write the limits. Raises OSError."""

    @abstractmethod
    def _figures(self, folders: Sequence[Path]) -> MeterFiles:
        """Where they say what they use."""


class Cgroup:
    """The groups of one sandbox, one folder for each hierarchy. `meter` is open until `remove`."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(folders)
        self.meter: GroupMeter | None = None

    @property
    def procs(self) -> list[str]:
        """The files into which a process of one thread writes 0 to join.

        In version 1 that is `tasks`: moving itself alone needs no lock over all processes of the machine,
        for which `cgroup.procs` waits several milliseconds.
        """
        return [
            str(tasks if (tasks := folder / "tasks").exists() else folder / "cgroup.procs")
            for folder in self.folders
        ]

    def remove(self) -> None:
        """Kill what is still in it and remove it. Idempotent. What stays is logged."""
        if self.meter is not None:
            self.meter.close()
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
    """Separate hierarchies for memory, pids and cpu, and for cpuacct where it is not mounted with cpu."""

    def _limit(self, folders: Sequence[Path], limits: GroupLimits) -> None:
        memory, pids, cpu = folders[:3]
        _write(memory / "memory.limit_in_bytes", limits.memory_bytes)
        with_swap = memory / "memory.memsw.limit_in_bytes"
        if with_swap.exists():  # absent without swap accounting
            _write(with_swap, limits.memory_bytes)
        _write(pids / "pids.max", limits.pids)
        _write(cpu / "cpu.cfs_period_us", _CPU_PERIOD_US)
        _write(cpu / "cpu.cfs_quota_us", round(limits.cpus * _CPU_PERIOD_US))

    def _figures(self, folders: Sequence[Path]) -> MeterFiles:
        return MeterFiles(
            cpu=folders[-1] / "cpuacct.usage",
            cpu_per_ms=1e6,
            peak=folders[0] / "memory.max_usage_in_bytes",
            current=folders[0] / "memory.usage_in_bytes",
            killed=folders[0] / "memory.oom_control",
        )


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

    def _figures(self, folders: Sequence[Path]) -> MeterFiles:
        (folder,) = folders
        return MeterFiles(
            cpu=folder / "cpu.stat",
            cpu_per_ms=1e3,
            peak=folder / "memory.peak",
            current=folder / "memory.current",
            killed=folder / "memory.events",
        )


def open_cgroups(
    run_dir: Path, *, mount: Path = _MOUNT, own: Path = Path("/proc/self/cgroup")
) -> CgroupFolders | None:
    """Make the folder of this worker's groups; None where no control groups can be written.

    The name comes from `run_dir`, which one live worker has for itself.
    """
    name = _name_of(run_dir)
    try:
        if (mount / "cgroup.controllers").exists():
            return CgroupFoldersV2([_open_v2(mount, own, name)])
        roots = _roots_v1(mount, name)
        for root in roots:
            root.parent.stat()
            root.mkdir(exist_ok=True)
            if not os.access(root, os.W_OK):
                return None
    except OSError:
        return None
    return CgroupFoldersV1(roots)


def find_meter(pid: int, *, mount: Path = _MOUNT, proc: Path = Path("/proc")) -> GroupMeter | None:
    """Of the group of a process that somebody else put there, as far as this worker can see it. The caller
    closes it."""
    try:
        lines = _lines(proc / str(pid) / "cgroup")
    except OSError:
        return None
    # number:controllers:path, version 2 with no controllers
    places = {line.split(":", 2)[1]: line.split(":", 2)[2].lstrip("/") for line in lines}
    if (mount / "cgroup.controllers").exists():
        return _meter_of(CgroupFoldersV2, [mount / places.get("", "")])
    by_controller = {
        name: mount / name / path for names, path in places.items() for name in names.split(",")
    }
    if not {"memory", "cpuacct"} <= by_controller.keys():
        return None
    return _meter_of(CgroupFoldersV1, [by_controller["memory"], by_controller["cpuacct"]])


def _lines(memberships: Path) -> list[str]:
    """Of a process: a group's name is any bytes but an end of line. Raises OSError."""
    return os.fsdecode(memberships.read_bytes()).rstrip("\n").split("\n")


def _meter_of(version: type[CgroupFolders], folders: Sequence[Path]) -> GroupMeter | None:
    files = version(())._figures(folders)  # noqa: SLF001 - of this module
    return GroupMeter(files) if files.cpu.exists() and files.current.exists() else None


def close_cgroups(folders: CgroupFolders) -> None:
    """Remove the worker's folder once its sandboxes are gone. Idempotent."""
    for root in folders._roots:  # noqa: SLF001 - the other half of open_cgroups
        with contextlib.suppress(OSError):
            root.rmdir()


def remove_cgroups_of(
    run_dir: Path, *, mount: Path = _MOUNT, own: Path = Path("/proc/self/cgroup")
) -> None:
    """Kill and remove what the dead worker of that run directory left, as far as this worker can see it
    (version 2: in its own group). Makes nothing; what stays is logged."""
    name = _name_of(run_dir)
    with contextlib.suppress(OSError):
        if (mount / "cgroup.controllers").exists():
            folders: CgroupFolders = CgroupFoldersV2([_own_group_v2(mount, own) / name])
        else:
            folders = CgroupFoldersV1([root for root in _roots_v1(mount, name) if root.is_dir()])
        folders.sweep()
        close_cgroups(folders)


def _name_of(run_dir: Path) -> str:
    return f"yunhan-{hashlib.sha256(os.fsencode(run_dir)).hexdigest()[:12]}"


def _roots_v1(mount: Path, name: str) -> list[Path]:
    """At the top of each hierarchy: the worker's own place may be another one at its next start."""
    controllers = ["memory", "pids", "cpu"]
    if not (mount / "cpu" / "cpuacct.usage").exists() and (mount / "cpuacct").is_dir():
        controllers.append("cpuacct")
    return [mount / controller / name for controller in controllers]


def _own_group_v2(mount: Path, own: Path) -> Path:
    """The group that the worker was started in. Raises OSError."""
    line = next((line for line in _lines(own) if line.startswith("0::")), None)
    if line is None:
        raise OSError(f"{own} names no group of version 2")
    group = mount / line.removeprefix("0::").lstrip("/")
    return group.parent if group.name == "yunhan-worker" else group


def _open_v2(mount: Path, own: Path, name: str) -> Path:
    """A folder below the worker's own group that hands the three controllers on.

    A group with controllers for its children may hold no process itself (cgroup-v2, "no internal
    processes"), so the worker moves into a child first.
    """
    group = _own_group_v2(mount, own)
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
