"""What the launcher of a Landlock sandbox is told to do. Pure.

The root of the sandbox is the same as bubblewrap's: nothing but Node, its libraries, the bootstrap, the
code, the folder of the channel, a handful of devices and the folders in memory that it may write to.
"""

from __future__ import annotations

import marshal
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.bubblewrap_command import TMPFS_INSIDE, Bind
from sandbox.landlock_rules import Rules, make_rules
from sandbox.walled_limits import WalledLimits

_NEW_MOUNTS, _NEW_PROCESSES = 0x00020000, 0x20000000
_OPTIONAL_NAMESPACES = {"net": 0x40000000, "ipc": 0x08000000, "uts": 0x04000000}
OPTIONAL_NAMESPACES = frozenset(_OPTIONAL_NAMESPACES)
"""What a kernel may lack; a namespace of mounts and one of processes have to be there."""

_ROOT_BYTES = 1024 * 1024
_DEVICES = ("null", "zero", "full", "random", "urandom")
_LINKS = (
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Walls:
    """What is the same for all sandboxes of a worker. `stage` is an empty folder on which each one lays
    out its root, seen by itself alone; `namespaces` are those of OPTIONAL_NAMESPACES that are there; `maps`
    are `uid_map` and `gid_map` of the user namespace that it is built in, empty = none."""

    stage: Path
    abi: int
    namespaces: frozenset[str]
    filters: tuple[bytes, ...]
    init_uid: int
    limits: WalledLimits
    maps: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """One start: the program, what it is shown, who it is, and the control groups that it joins."""

    command: Sequence[str]
    environment: Mapping[str, str]
    working_dir: str
    binds: Sequence[Bind]
    uid: int
    joined: Sequence[str]


def launcher_plan(walls: Walls, inside: Inside, *, worker: int) -> bytes:
    """For the launcher's descriptor. `worker` is the process that starts it, and with which it dies."""
    rules = _rules(walls, inside, deny_tcp="net" not in walls.namespaces)
    sizes = (walls.limits.tmp_bytes, walls.limits.shm_bytes)
    by_order = zip(TMPFS_INSIDE, sizes, strict=True)
    return marshal.dumps(
        {
            "worker": worker,
            "namespaces": _NEW_MOUNTS
            | _NEW_PROCESSES
            | sum(_OPTIONAL_NAMESPACES[name] for name in walls.namespaces),
            "maps": dict(walls.maps),
            "stage": str(walls.stage),
            "root_bytes": _ROOT_BYTES,
            "binds": [
                *((str(bind.source), str(bind.inside), False) for bind in inside.binds),
                *((f"/dev/{name}", f"/dev/{name}", True) for name in _DEVICES),
            ],
            "links": list(_LINKS),
            "tmpfs": list(by_order),
            "joined": list(inside.joined),
            "uid": inside.uid,
            "init_uid": walls.init_uid,
            "rlimits": [
                (resource.RLIMIT_CORE, 0),
                (resource.RLIMIT_NOFILE, walls.limits.open_files),
                # Threads of this uid, which no other sandbox has.
                (resource.RLIMIT_NPROC, walls.limits.pids),
            ],
            "handled": rules.handled,
            "rules": list(rules.rules),
            "filters": list(walls.filters),
            "command": list(inside.command),
            "environment": dict(inside.environment),
            "working_dir": inside.working_dir,
        }
    )


def _rules(walls: Walls, inside: Inside, *, deny_tcp: bool) -> Rules:
    return make_rules(
        walls.abi,
        readable=[
            *((str(bind.inside), bind.source.is_dir()) for bind in inside.binds),
            ("/proc", True),
        ],
        devices=[f"/dev/{name}" for name in _DEVICES],
        writable=TMPFS_INSIDE,
        deny_tcp=deny_tcp,
    )
