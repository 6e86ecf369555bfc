"""Whether this worker may build the walls of the rung landlock, and what is missing if not."""

from __future__ import annotations

import os
from pathlib import Path

from sandbox.api import SandboxError
from sandbox.landlock_plan import OPTIONAL_NAMESPACES

_STATUS = Path("/proc/self/status")
_NAMESPACES = Path("/proc/self/ns")
_LIMITS = Path("/proc/sys/user")

_NEEDED = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_SYS_ADMIN": 21,
}


def check_privileges(uid: int | None = None, status: str | None = None) -> None:
    """Raises SandboxError that names what is missing."""
    what_next = (
        "Start the worker as root, in a container with --cap-add SYS_ADMIN and"
        " profiles of seccomp and AppArmor that allow mounts; or use the rung bubblewrap, which needs"
        " user namespaces instead, or docker."
    )
    if (os.geteuid() if uid is None else uid) != 0:
        raise SandboxError(
            "the rung landlock gives each sandbox a uid of its own, which only root can do.",
            what_next=what_next,
        )
    text = _STATUS.read_text(encoding="ascii") if status is None else status
    effective = next(int(line.split()[1], 16) for line in text.splitlines() if "CapEff:" in line)
    missing = [name for name, bit in _NEEDED.items() if not effective >> bit & 1]
    if missing:
        raise SandboxError(
            f"the rung landlock misses {', '.join(missing)}: this root has not all rights.",
            what_next=what_next,
        )


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
