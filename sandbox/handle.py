"""The small port between a sandbox and the process behind it. Each rung provides one.

Everything else in a sandbox's life is common to all rungs (`sandbox.node_sandbox`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

OUTPUT_TAIL_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a process ended: by its own exit `code`, or by a `signal`; exactly one is set.

    `oom` is True when the rung knows that a memory limit killed it. `output` is the end of what it
    wrote to stdout and stderr, at most OUTPUT_TAIL_BYTES; it is for people and for telling V8's
    heap limit from other aborts, never data.
    """

    code: int | None = None
    signal: int | None = None
    oom: bool = False
    output: bytes = b""


class ProcessHandle(ABC):
    """One started process with everything that it started itself."""

    @abstractmethod
    def kill(self) -> None:
        """Kill the process and its whole group, at once and for sure. Does not wait. Idempotent;
        nothing happens when the process is gone."""

    @abstractmethod
    async def wait(self) -> Exit:
        """Wait until the process is gone and reaped, its group killed. Any number of callers and
        calls; cancellation has no effect on the process."""

    @abstractmethod
    async def remove(self) -> None:
        """Remove what the process left behind (files, container). Only after `wait` returned.
        Idempotent. What cannot be removed is logged, not raised."""
