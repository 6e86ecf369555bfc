"""Whether this worker may build the walls of the rung landlock, and what is missing if not.

Landlock itself and the filter need no right at all (no_new_privs), a uid of its own needs CAP_SETUID and
CAP_SETGID; but its own root, /tmp in memory, processes and network are mounts and namespaces. A root
without CAP_SYS_ADMIN may make those in a user namespace, where such may be made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from sandbox.api import SandboxError
from sandbox.capabilities import lacking
from sandbox.landlock_plan import OPTIONAL_NAMESPACES

_PROCESS = Path("/proc/self")
_NAMESPACES = _PROCESS / "ns"
_LIMITS = Path("/proc/sys/user")

_NEEDED = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
)
# Without it nobody may say who is uid 0 in a new user namespace (since Linux 5.12).
_NEEDED_FOR_USERS = "CAP_SETFCAP"


def check_privileges(
    uid: int | None = None, status: str | None = None, *, limits: Path = _LIMITS
) -> None:
    """Raises SandboxError that names what is missing."""
    what_next = (
        "Start the worker as root, in a container with --cap-add SYS_ADMIN and"
        " profiles of seccomp and AppArmor that allow mounts; or as an ordinary user with the rung"
        " bubblewrap, which needs user namespaces instead; or use docker."
    )
    if (os.geteuid() if uid is None else uid) != 0:
        raise SandboxError(
            "the rung landlock gives each sandbox a uid of its own, which only root can do.",
            what_next=what_next,
        )
    missing = lacking(*_NEEDED, status=status)
    if lacking("CAP_SYS_ADMIN", status=status) and (
        lacking(_NEEDED_FOR_USERS, status=status)
        or _limit(limits / "max_user_namespaces") in {"", "0"}
    ):
        missing.append(f"CAP_SYS_ADMIN (or {_NEEDED_FOR_USERS} and user namespaces)")
    if missing:
        raise SandboxError(
            f"the rung landlock misses {', '.join(missing)}: this root has not all rights.",
            what_next=what_next,
        )


def own_user_namespace(status: str | None = None, *, process: Path = _PROCESS) -> Mapping[str, str]:
    """`uid_map` and `gid_map` of a user namespace in which everybody keeps his number: each sandbox has
    to be built in one when this root may not mount outside. Empty when it may."""
    if not lacking("CAP_SYS_ADMIN", status=status):
        return {}
    return {
        name: _same_numbers((process / name).read_text(encoding="ascii"))
        for name in ("uid_map", "gid_map")
    }


def _same_numbers(ranges: str) -> str:
    """A map of every number that the namespace with these `ranges` has to itself."""
    lines = (line.split() for line in ranges.splitlines())
    return "".join(f"{first} {first} {count}\n" for first, _, count in lines)


def namespaces_here(namespaces: Path = _NAMESPACES, limits: Path = _LIMITS) -> frozenset[str]:
    """Those of OPTIONAL_NAMESPACES that this kernel has and allows."""
    return frozenset(
        name
        for name in OPTIONAL_NAMESPACES
        if (namespaces / name).exists() and _limit(limits / f"max_{name}_namespaces") != "0"
    )


def _limit(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
