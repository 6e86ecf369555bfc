"""Whether a Docker engine can carry this rung: its address and what it says of itself. Pure but for
the environment's DOCKER_HOST."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import structlog

from sandbox.api import SandboxError

_log = structlog.get_logger(__name__)

_DEFAULT_URL = "unix:///var/run/docker.sock"
_BESIDE = (
    "Run the worker on the engine's own machine (Linux), for example with Compose, and let it reach"
    " the engine by its unix socket; or choose another rung with YUNHAN_SANDBOX."
)
# What has to be enforced, by the engine's own names for it.
_LIMITS = {
    "MemoryLimit": "memory",
    "PidsLimit": "numbers of processes",
    "CpuCfsQuota": "CPU time",
}


def engine_url(docker_host: str = "") -> str:
    """The address to use: the argument, else DOCKER_HOST, else the usual socket.

    Raises SandboxError when it is not a unix socket: sandboxes are reached by unix sockets, which
    pass into containers on the same kernel only.
    """
    url = docker_host or os.environ.get("DOCKER_HOST", "") or _DEFAULT_URL
    if url.startswith("/"):
        url = f"unix://{url}"
    if not url.startswith("unix:"):
        scheme = url.partition(":")[0]
        raise SandboxError(
            f"the docker rung cannot use an engine over {scheme}: unix sockets do not reach it.",
            what_next=_BESIDE,
        )
    return url


def check_engine(info: Mapping[str, Any], url: str, *, platform: str = sys.platform) -> None:
    """`info` is the engine's answer to "info". Raises SandboxError for one that cannot do."""
    system = str(info.get("OperatingSystem", ""))
    if platform != "linux" or "Docker Desktop" in system or info.get("OSType") != "linux":
        raise SandboxError(
            f"the engine at {url} ({system or 'unknown system'}) runs its containers in another"
            " machine, which unix sockets do not reach.",
            what_next=_BESIDE,
        )
    missing = [text for key, text in _LIMITS.items() if not info.get(key)]
    if missing:
        raise SandboxError(
            f"the engine at {url} does not limit {', '.join(missing)}.",
            what_next="A rootless engine needs cgroup v2 with delegated controllers; older kernels"
            " need cgroup_enable=memory on their command line.",
        )
    if not any("name=seccomp" in option for option in info.get("SecurityOptions") or ()):
        raise SandboxError(
            f"the engine at {url} does not filter system calls (seccomp).",
            what_next="Use a kernel and an engine with seccomp.",
        )
    if info.get("SwapLimit") is False:
        _log.warning(
            "docker_swap_not_limited",
            hint="functions may swap beyond their memory limit; turn swap off, or boot with"
            " swapaccount=1",
        )
