"""What all gates of one worker have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.api import EgressRules
from sandbox.egress.counts import OnRefused
from sandbox.egress.effective import effective_policy
from sandbox.egress.gate import EgressGate
from sandbox.egress.internal import InternalHandler
from sandbox.egress.limits import EgressLimits
from sandbox.egress.names import Names
from sandbox.egress.policy import EgressPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressAccess:
    """Names are looked up, and rules read, once per worker."""

    policy: EgressPolicy
    """What every function may reach whose space says nothing else."""
    extend: bool = True
    """Whether the rules of spaces and functions may open what `policy` does not."""
    names: Names = field(default_factory=Names)
    limits: EgressLimits = field(default_factory=EgressLimits)
    internal: Mapping[str, InternalHandler] = field(default_factory=dict)
    """Hosts inside the worker, as `EgressGate` takes them: reached under every policy."""

    def policy_for(self, rules: EgressRules) -> EgressPolicy:
        """What a function with these rules may reach. Cheap when asked again."""
        return effective_policy(self.policy, rules, extend=self.extend)

    def open(self, path: Path, on_refused: OnRefused) -> EgressGate:
        """A gate that lets nothing through yet. Call it on the loop. Raises SandboxError."""
        return EgressGate(
            path,
            names=self.names,
            limits=self.limits,
            on_refused=on_refused,
            internal=self.internal,
        )
