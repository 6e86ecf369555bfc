"""What all gates of one worker have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sandbox.egress.counts import OnRefused
from sandbox.egress.gate import EgressGate
from sandbox.egress.limits import EgressLimits
from sandbox.egress.names import Names
from sandbox.egress.policy import EgressPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressAccess:
    """Names are looked up, and rules read, once per worker."""

    policy: EgressPolicy
    names: Names = field(default_factory=Names)
    limits: EgressLimits = field(default_factory=EgressLimits)

    def open(self, path: Path, on_refused: OnRefused) -> EgressGate:
        """A gate that lets nothing through yet. Call it on the loop. Raises SandboxError."""
        return EgressGate(path, names=self.names, limits=self.limits, on_refused=on_refused)
