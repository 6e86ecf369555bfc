"""What a program has on this machine: counted, so that two moments can be compared."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime.data_dir import DataDir
from tests.chaos.descriptors import descriptors
from tests.chaos.engine import Engine

LOOSE: Mapping[str, int] = {
    # To the databases: the driver's pools keep as many as were once needed at the same moment, which
    # depends on chance. That is at most one for each slot.
    "descriptor tcp to a child": 8,
    # On the rung docker, for the same reason. (The near end of such a connection has no name.)
    "descriptor unix socket, perhaps to the engine": 8,
    # A killed engine's own, of a container that it was about to make: it never takes such a mount away, and
    # nothing at it says whose container that was to be, so nobody else may. At most one for each slot.
    "mount (engine)/data/overlay2/#-init/merged": 8,
}
"""By how much two counts may differ. Everything else is equal or was left behind."""
_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Number of things by kind and name. Equal snapshots mean that nothing was left behind."""

    counts: Mapping[str, int]

    def difference(self, later: Snapshot) -> list[str]:
        """A line for everything of which `later` has another number, but for what `LOOSE` allows."""
        lines = []
        for name in sorted(self.counts.keys() | later.counts.keys()):
            before, after = self.counts.get(name, 0), later.counts.get(name, 0)
            if abs(before - after) > LOOSE.get(name, 0):
                lines.append(f"{name}: {before} -> {after}")
        return lines


class Machine:
    """Counts what belongs to one data directory. `engine` is the rung's own, if it has one."""

    def __init__(self, data_dir: Path, engine: Engine | None) -> None:
        self._data_dir = data_dir.resolve()
        self._run_dir = DataDir(data_dir).run
        self._views_dir = DataDir(data_dir).views
        self._engine = engine

    def snapshot(self, program: int | None) -> Snapshot:
        """`program` is the process id of the running program; None when there is none."""
        counts: Counter[str] = Counter()
        below = descendants(program) if program else []
        counts.update(f"process {_name(pid)}" for pid in below)
        for pid in self.strangers({*below, program or 0}):
            counts[f"process outside the program's tree: {_name(pid)}"] += 1
        if program:
            counts.update(self._descriptors(program, below))
        counts.update(f"mount {self._kind(line)}" for line in self._mounts())
        counts.update(f"socket {self._kind(path)}" for path in self._sockets())
        counts.update(f"folder {self._kind(str(path))}" for path in self._folders())
        counts.update(f"cgroup {path}" for path in self._cgroups())
        if self._engine is not None:
            counts.update(f"container {_without_ids(name)}" for name in self._engine.containers())
            counts["cgroup of a container"] += len(self._engine.cgroup_folders())
        return Snapshot({name: count for name, count in counts.items() if count})

    def sandboxes(self, program: int | None) -> list[int]:
        """The Node.js processes of live sandboxes."""
        if self._engine is not None:
            found = [pid for shim in self._engine.shims() for pid in descendants(shim)]
        else:
            found = descendants(program) if program else self.strangers(set())
        return sorted(pid for pid in found if _name(pid) == "node")

    def strangers(self, family: set[int]) -> list[int]:
        """Processes that have something of the data directory and are not in the program's tree: by
        command, environment, working directory, or mounts of a namespace of their own."""
        marks = (str(self._data_dir), str(self._run_dir), f"/{self._run_dir.name}/")
        here = _link(Path("/proc/self/ns/mnt"))
        found = []
        for pid in _pids():
            if pid in family or pid == os.getpid():
                continue
            process = _PROC / str(pid)
            try:
                text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
                seen = text.decode(errors="replace") + _link(process / "cwd")
                if _link(process / "ns/mnt") != here:
                    seen += (process / "mountinfo").read_text(errors="replace")
            except OSError:
                continue
            if any(mark in seen for mark in marks) and "tests.chaos" not in seen:
                if self._engine is not None and _is_engine(process):
                    continue
                found.append(pid)
        return found

    def _descriptors(self, program: int, below: list[int]) -> Iterator[str]:
        for kind in descriptors(program, below):
            nameless = self._engine is not None and kind == "unix socket"
            yield f"descriptor {self._kind(kind)}{', perhaps to the engine' if nameless else ''}"

    def _mounts(self) -> Iterator[str]:
        marks = [str(self._data_dir), str(self._run_dir)]
        if self._engine is not None:
            marks.append(str(self._engine.root))
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            if any(mark in line for mark in marks):
                yield line.split()[4]

    def _sockets(self) -> Iterator[str]:
        for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
            if str(self._run_dir) in line or str(self._data_dir) in line:
                yield line.split()[-1]

    def _folders(self) -> Iterator[Path]:
        if self._run_dir.exists():
            yield self._run_dir
        for top in (self._run_dir, self._views_dir):
            yield from top.glob("*")

    def _cgroups(self) -> Iterator[str]:
        name = f"yunhan-{hashlib.sha256(os.fsencode(self._run_dir)).hexdigest()[:12]}"
        for folder, _, _ in os.walk(_CGROUPS):  # does not mind groups that go meanwhile
            path = Path(folder)
            if path.name == name:
                yield f"{path.parent.name}/(worker)"
            elif path.parent.name == name:
                yield f"{path.parent.parent.name}/(sandbox)"

    def _kind(self, path: str) -> str:
        """The path without what differs from sandbox to sandbox."""
        for place, name in (
            (self._run_dir, "run"),
            (self._data_dir, "data"),
            (self._engine.root if self._engine else None, "engine"),
        ):
            if place is not None:
                path = path.replace(str(place), f"({name})")
        return _without_ids(path)


def descendants(program: int) -> list[int]:
    """Processes below `program`, in whatever session or namespace."""
    parents: dict[int, list[int]] = {}
    for pid in _pids():
        with contextlib.suppress(OSError, IndexError, ValueError):
            fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            if fields[0] != "Z":
                parents.setdefault(int(fields[1]), []).append(pid)
    found: list[int] = []
    waiting = [program]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def _pids() -> list[int]:
    return [int(path.name) for path in _PROC.glob("[0-9]*")]


def _name(pid: int) -> str:
    """The program that it runs; a name set by the process (`MainThread`) says less."""
    target = _link(_PROC / str(pid) / "exe").removesuffix(" (deleted)")
    if not Path(target).name:  # an unnamed file, as of `runc init`
        with contextlib.suppress(OSError):
            target = (_PROC / str(pid) / "cmdline").read_text().replace("\0", " ").strip()
    return Path(target).name or "(gone)"


def _is_engine(process: Path) -> bool:
    return _link(process / "exe").rsplit("/", 1)[-1].startswith(("dockerd", "containerd"))


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _without_ids(text: str) -> str:
    text = re.sub(r"[0-9a-f]{12,}", "#", text)
    text = re.sub(r"(sb-|sandbox-|yunhan-)[\w#-]+", r"\1#", text)
    return re.sub(r"(?<=/yunhan-#/s)\d+", "#", text)  # a control group is named by a running number
