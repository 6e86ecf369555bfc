"""Somebody else's child on this machine, by pidfd: seen to end at once, killed without asking its parent.

The number of a process is only a hint: it may belong to another namespace or be used anew. A
`HostProcess` exists only where the process behind it is proven to be the expected one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

_PROC = Path("/proc")


class HostProcess:
    """One process that is not our child. Made by `find`; ends with `close`."""

    def __init__(self, pid: int, pidfd: int, on_gone: Callable[[], object]) -> None:
        self.pid = pid
        self._pidfd: int | None = pidfd
        self._on_gone = on_gone
        asyncio.get_running_loop().add_reader(pidfd, self._on_readable)

    @classmethod
    def find(cls, pid: int, cgroup_part: str, on_gone: Callable[[], object]) -> HostProcess | None:
        """The process `pid` if it is here, in a control group whose path contains `cgroup_part`, and
        ours to kill; else None. `on_gone` is called once on the event loop when it ended."""
        if sys.platform != "linux" or pid <= 1 or not cgroup_part:
            return None
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return None
        try:
            # After the pidfd was opened: what is read is about the process that it stands for,
            # or about a later one, which is then not signalled.
            proven = cgroup_part.encode() in (_PROC / str(pid) / "cgroup").read_bytes()
            signal.pidfd_send_signal(pidfd, 0)
        except OSError:
            proven = False
        if not proven:
            os.close(pidfd)
            return None
        return cls(pid, pidfd, on_gone)

    @property
    def name(self) -> str:
        """Of its program, at most 15 characters; empty when it is gone or watched no more."""
        if self._pidfd is None:  # its number may be another process's by now
            return ""
        try:
            return (_PROC / str(self.pid) / "comm").read_text(errors="replace").rstrip("\n")
        except OSError:
            return ""

    @property
    def leads_group(self) -> bool:
        """Whether a signal to the group of that number reaches it."""
        try:
            return os.getpgid(self.pid) == self.pid
        except OSError:
            return False

    def kill(self) -> None:
        """Idempotent; nothing happens when it is gone."""
        if self._pidfd is not None and sys.platform == "linux":
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> None:
        """Stop watching. Idempotent."""
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _on_readable(self) -> None:
        self.close()
        self._on_gone()
