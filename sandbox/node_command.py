"""How Node is started in a sandbox: arguments and environment, the same on every rung. Pure.

Paths are those that the process itself sees.
"""

from __future__ import annotations

from pathlib import Path

# What Node needs beside the JavaScript heap: its own code, the young generation, buffers.
_BESIDE_HEAP_MB = 64
_HEAP_MIN_MB = 64
_SEMI_SPACE_MB = 8

_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


def heap_limit_mb(memory_mb: int) -> int:
    """The limit of V8's old generation in a process of `memory_mb`.

    Below the process's own limit, so that V8 collects garbage before the rung kills; the smallest
    function (128 MB) keeps half of its memory for the heap.
    """
    return max(_HEAP_MIN_MB, memory_mb - _BESIDE_HEAP_MB)


def node_command(*, node: Path, bootstrap_dir: Path, memory_mb: int) -> list[str]:
    """The command of one generic sandbox.

    No other V8 flag: these two cost no start-up time (measured), most others double it. The young
    generation is kept small, else steady calls let it grow to a hundred MB of garbage.
    """
    return [
        str(node),
        f"--max-old-space-size={heap_limit_mb(memory_mb)}",
        f"--max-semi-space-size={_SEMI_SPACE_MB}",
        str(bootstrap_dir / "index.mjs"),
    ]


def node_environment(
    *, node: Path, home: Path, channel: Path, egress: Path | None = None
) -> dict[str, str]:
    """The whole environment of a sandbox: nothing of the worker's own leaks into it.

    `home` is the sandbox's own writable folder. UTC is the original's time zone (spec:
    functions (b)). The bootstrap deletes YUNHAN_CHANNEL before user code loads. `egress` is the socket
    of the only way to the network, None where the network is the machine's.
    """
    environment = {
        "PATH": f"{node.parent}:{_SYSTEM_PATH}",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "HOME": str(home),
        "TMPDIR": str(home),
        "YUNHAN_CHANNEL": str(channel),
    }
    if egress is not None:
        environment["YUNHAN_EGRESS"] = str(egress)
    return environment
