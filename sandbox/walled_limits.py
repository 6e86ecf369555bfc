"""What bounds one sandbox on the rungs that build walls on this machine."""

from __future__ import annotations

import resource
from dataclasses import dataclass, replace

# Node has a dozen threads, a child process of it another dozen.
_UNGROUPED_PIDS = 64
_UNGROUPED_FILES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class WalledLimits:
    """Of one sandbox, beside its memory. `pids` counts threads, of which Node has a dozen; what is in
    /tmp and /dev/shm counts as memory of the sandbox, too."""

    tmp_bytes: int = 64 * 1024 * 1024
    shm_bytes: int = 16 * 1024 * 1024
    pids: int = 128
    open_files: int = 1024
    cpus: float = 1.0

    def allowed_here(self) -> WalledLimits:
        """None above what this machine allows the worker: raising that would take one more capability."""
        return replace(
            self,
            pids=_at_most(resource.RLIMIT_NPROC, self.pids),
            open_files=_at_most(resource.RLIMIT_NOFILE, self.open_files),
        )

    def without_groups(self) -> WalledLimits:
        """What holds where no control groups can be written. What the kernel keeps for a sandbox beside its
        pages (sockets, pipes, page tables) is then bounded by how many processes and files it may have, and
        by the watcher: so fewer of both."""
        return replace(
            self,
            pids=min(self.pids, _UNGROUPED_PIDS),
            open_files=min(self.open_files, _UNGROUPED_FILES),
        )


def _at_most(limit: int, value: int) -> int:
    hard = resource.getrlimit(limit)[1]
    return value if hard == resource.RLIM_INFINITY else min(value, hard)
