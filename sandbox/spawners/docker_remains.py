"""What an engine that was killed forgot about one container of ours, cleared away on the host.

An engine that dies while it starts a container takes it for unstarted afterwards: the process that was
to become it (`runc init`), its shim and its control groups stay for ever, and no request reaches them. A
worker that sees and may signal them (root, in the host's process namespace) ends them by the container's
id, which is in their control group or command. Any other worker can only remove the container's record.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
_SHIM = b"containerd-shim"
_ID_DIGITS = 64
# Until the groups of killed processes are empty.
_EMPTY_S = 1.0
_PAUSE_S = 0.01


def clear_remains(container_id: str, *, proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int:
    """Only for a container that the engine no longer has. Blocking (up to 1 s). Idempotent, never raises.

    Returns how many processes were killed and groups removed; what is not ours to touch stays.
    """
    if sys.platform != "linux" or len(container_id) != _ID_DIGITS:
        return 0
    cleared = sum(_kill(pid, container_id, proc) for pid in _pids(proc))
    deadline = time.monotonic() + _EMPTY_S
    return cleared + sum(_remove(group, deadline) for group in _groups(container_id, cgroups))


def _pids(proc: Path) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for entry in proc.iterdir():
            if entry.name.isdecimal() and int(entry.name) != os.getpid():
                yield int(entry.name)


def _kill(pid: int, container_id: str, proc: Path) -> bool:
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        # After the pidfd was opened, so that both are about one process.
        if not _belongs(proc / str(pid), container_id):
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:
        return False
    finally:
        os.close(pidfd)
    return True


def _belongs(process: Path, container_id: str) -> bool:
    # Bytes: groups of others may have any name.
    if container_id.encode() in (process / "cgroup").read_bytes():
        return True
    program, *arguments = (process / "cmdline").read_bytes().split(b"\0")
    return _SHIM in program and container_id.encode() in arguments


def _remove(group: Path, deadline: float) -> bool:
    while True:
        try:
            group.rmdir()
        except FileNotFoundError:
            return False
        except OSError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE_S)
        else:
            return True


def _groups(container_id: str, cgroups: Path) -> list[Path]:
    """The deepest first. Below which group the engine puts its own is its own affair."""
    found = [Path(folder) for folder, _, _ in os.walk(cgroups) if container_id in folder]
    return sorted(found, key=lambda path: len(path.parts), reverse=True)
