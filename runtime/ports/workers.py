"""Which workers there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFacts:
    """What a worker tells of itself; for people and for the choice of a runtime, never for delivery."""

    worker_id: str
    version: str
    rung: str
    isolates: bool
    """Whether functions of different spaces may be trusted to its rung."""
    node_majors: Sequence[int]
    """Ascending."""
    slots: int
    seen_ms: int = 0
    """When it told this last, ms since 1970 by its clock."""


class WorkerRoster(ABC):
    """Which workers there are, as far as they said."""

    @abstractmethod
    async def tell(self, facts: WorkerFacts) -> None:
        """Idempotent by worker id; the last word counts."""

    @abstractmethod
    async def leave(self, worker_id: str, *, unseen_before_ms: int) -> None:
        """Forget this one, and all that told nothing since then. Idempotent."""

    @abstractmethod
    async def present(self, *, since_ms: int) -> Sequence[WorkerFacts]:
        """Those that told something since then, by id."""
