"""What one run of the distributed form has seen."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from tests.chaos.distributed.options import Options
from tests.chaos.workload import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A synchronous call, as its caller knows it. Times are of the monotonic clock."""

    number: int
    name: str
    gateway: int
    began: float
    ended: float
    verdict: Verdict
    request_id: str = ""

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """An asynchronous job, as its producer knows it."""

    number: int
    name: str
    way: str
    state: str
    """accepted, refused (it must never run) or unknown."""
    seconds: float
    job_id: str = ""
    """Of one that was accepted, except by the intake, whose producers learn no id."""
    why: str = ""


@dataclass(slots=True)
class Fault:
    """`ended` when what was done was undone; `recovered_s` after that calls worked again; `rest_s` after that
    everything was at rest."""

    kinds: tuple[str, ...]
    began: float = field(default_factory=time.monotonic)
    ended: float = float("inf")
    recovered_s: float = 0.0
    rest_s: float = 0.0
    done: Counter[str] = field(default_factory=Counter)
    """Faults that really were made."""


@dataclass(slots=True)
class Tally:
    options: Options
    calls: list[Call] = field(default_factory=list)
    submissions: list[Submission] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Figures of single faults, for people."""
    peaks_mb: Counter[str] = field(default_factory=Counter)
    """Largest resident set of any program, by role."""
    states: Counter[str] = field(default_factory=Counter)
    """Of all jobs in the ledger, at the end."""
    attempts: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0

    def made(self) -> Counter[str]:
        """Faults by kind."""
        return sum((fault.done for fault in self.faults), Counter())

    def violate(self, text: str) -> None:
        self.violations.append(text)
