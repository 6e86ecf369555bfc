"""How often something may happen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRule:
    """At most `limit` hits of a key in a window, which begins with its first hit; one more blocks the key.

    `name` keeps the counts of different rules apart: there is one rule of a name."""

    name: str
    limit: int
    """At least 1."""
    window_s: float
    block_s: float
    """From the hit that was too many; hits meanwhile do not prolong it. 0: until the window ends. After a
    block the key counts anew."""


class RateStore(ABC):
    """Counts hits; atomic also between programs that share one store."""

    @abstractmethod
    async def hit(self, key: str, rule: RateRule) -> float:
        """Count one hit. 0: allowed; otherwise the seconds until the key is allowed again.

        Never raises but for cancellation: a store that cannot be reached counts in another way."""
