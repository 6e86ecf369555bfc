"""What bounds one sandbox on the rungs that build walls on this machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WalledLimits:
    """Of one sandbox, beside its memory. `pids` counts threads, of which Node has a dozen; what is in
    /tmp and /dev/shm counts as memory of the sandbox, too."""

    tmp_bytes: int = 64 * 1024 * 1024
    shm_bytes: int = 16 * 1024 * 1024
    pids: int = 128
    open_files: int = 1024
    cpus: float = 1.0
