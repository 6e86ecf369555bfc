"""One sandbox's gate, as its invocations see it: refusals in their logs, counts on their bills."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sandbox.api import EgressRules, LogLevel, LogLine, Usage
from sandbox.egress.access import EgressAccess
from sandbox.egress.counts import EgressCounts

EGRESS = "egress"
"""Name of the gate's socket in a sandbox's folder."""


class SandboxEgress:
    """Lets nothing through before `admit`. `note` writes a line of ours into the logs of the runs under way.

    Counts are the sandbox's: invocations that run at the same time share them."""

    def __init__(self, access: EgressAccess, path: Path, note: Callable[[LogLine], None]) -> None:
        """Must be called on the loop. Raises SandboxError."""
        self._access = access
        self._note = note
        self.path = path
        self._gate = access.open(path, self._on_refused)

    def admit(self, rules: EgressRules) -> None:
        """The sandbox is bound: its code may use the network as the worker and `rules` say."""
        self._gate.policy = self._access.policy_for(rules)

    def counts(self) -> EgressCounts:
        """Since the sandbox was started."""
        return self._gate.counts()

    def billed(self, usage: Usage, before: EgressCounts) -> Usage:
        """`usage` with what went through the gate since `before`."""
        used = self.counts() - before
        return replace(
            usage,
            egress_connections=used.connections,
            egress_refused=used.refused,
            egress_bytes=used.bytes_up + used.bytes_down,
        )

    def tell_rest(self) -> None:
        """At an invocation's end: how many refusals were not told one by one."""
        untold = self._gate.take_untold()
        if untold:
            self._note(_line(f"{untold} more connections were refused"))

    async def close(self) -> None:
        """End everything that goes through. Idempotent."""
        await self._gate.close()

    def _on_refused(self, host: str, port: int | None, reason: str) -> None:
        where = host if port is None else f"{host}:{port}"
        self._note(_line(f"connection to {where} refused: {reason}"))


def _line(text: str) -> LogLine:
    return LogLine(level=LogLevel.WARN, time_ms=time.time_ns() // 1_000_000, text=text)
