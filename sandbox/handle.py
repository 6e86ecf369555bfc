"""The small port between a sandbox and the process behind it. Each rung provides one.

Everything else in a sandbox's life is common to all rungs (`sandbox.node_sandbox`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from sandbox.meter import NO_METER, Meter

OUTPUT_TAIL_BYTES = 16 * 1024
SIGNAL_BASE = 128
"""Shells, bubblewrap and engines tell a signal n as the exit code 128 + n."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a process ended: by its own exit `code`, or by a `signal`; exactly one is set.

    `oom` is True when the rung knows that a memory limit killed it. `output` is the end of what it
    wrote to stdout and stderr, at most OUTPUT_TAIL_BYTES; it is for people and for telling V8's
    heap limit from other aborts, never data. `lost` says why when something other than the function
    ended it, as in "the engine was restarted".
    """

    code: int | None = None
    signal: int | None = None
    oom: bool = False
    output: bytes = b""
    lost: str = ""


class ProcessHandle(ABC):
    """One started process with everything that it started itself."""

    exit_delay_s: ClassVar[float] = 0.3
    """How long after its channel closed the rung may take to see that the process has ended."""

    @property
    def over(self) -> bool:
        """True when the process is known to be gone although `wait` has not returned yet: its exit is being
        found out, and will be told in time."""
        return False

    @property
    def meter(self) -> Meter:
        """What all its processes use together, as far as this rung counts it."""
        return NO_METER

    @abstractmethod
    async def show_code(self, code_dir: Path) -> str:
        """Make an unpacked deployment readable inside, and nothing else of its surroundings; its path as
        the sandbox sees it. Called once, before the user's module is loaded. Raises SandboxError."""

    @abstractmethod
    def admit_socket(self, path: Path) -> None:
        """Let the sandbox connect to a socket that we made in its folder. Raises OSError."""

    @abstractmethod
    def pause(self) -> bool:
        """Stop everything that runs in the sandbox until `resume`; it keeps its memory, files and
        connections, and dies of `kill` as ever.

        True when something was running: what was being started at that moment may have escaped, so call
        again a little later. Idempotent, never raises, takes less than a millisecond. Where a rung
        cannot do it nothing happens.
        """

    @abstractmethod
    def resume(self) -> None:
        """Continue what `pause` stopped. Idempotent, never raises; nothing happens when it is gone."""

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
