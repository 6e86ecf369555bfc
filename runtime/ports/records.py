"""Invocation records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from runtime.messages import InvocationRecord
from sandbox.api import LogLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordQuery:
    """Which invocation records. None = any. Times in ms since 1970, `from_ms <= t < to_ms`."""

    space_id: str
    function: str | None = None
    request_id: str | None = None
    succeeded: bool | None = None
    level: LogLevel | None = None
    """Only records with at least one line of this level."""
    from_ms: int | None = None
    to_ms: int | None = None


class RecordStore(ABC):
    """Where invocation records are kept."""

    @abstractmethod
    async def insert(self, records: Sequence[InvocationRecord]) -> None:
        """Idempotent by request id."""

    @abstractmethod
    async def find(
        self, query: RecordQuery, *, offset: int, limit: int, newest_first: bool = True
    ) -> tuple[Sequence[InvocationRecord], int]:
        """One page by start time, and the total that matches; where many match, at least that many."""

    @abstractmethod
    async def prune(self, *, before_ms: int, keep_per_space: int) -> int:
        """Delete what is older, and the oldest of spaces with more. Returns how many went."""

    @abstractmethod
    async def delete_space(self, space_id: str) -> None:
        """All records of a space. Idempotent."""


class RecordSink(Protocol):
    """Takes records off the call path. Never blocks, never raises; what it must drop it counts."""

    def append(self, record: InvocationRecord) -> None: ...
