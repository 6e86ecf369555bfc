"""What one run of calls and kills has seen so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.chaos.options import RungOptions
from tests.chaos.snapshot import Snapshot
from tests.chaos.workload import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(RungOptions):
    calls: int = 1000
    functions: int = 50
    callers: int = 6
    sandbox_kills: int = 40
    engine_kills: int = 4
    program_kills: int = 4
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What the caller of one call knows."""

    number: int
    name: str
    began: float
    ended: float
    verdict: Verdict
    request_id: str = ""

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(slots=True)
class Fault:
    """A kill: at `dead` what was killed is surely gone, at `ended` it works again, `recovered_s` after that
    the next call was ok, and `failed` calls before it were not."""

    kind: str
    began: float
    dead: float = float("inf")
    ended: float = float("inf")
    victims: int = 0
    recovered_s: float = 0.0
    failed: int = 0


@dataclass(slots=True)
class Tally:
    options: Options
    calls: list[Call] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    blamed: list[tuple[str, str]] = field(default_factory=list)
    """Outcome and text of answers that blame a function which did nothing wrong."""
    before: Snapshot = field(default_factory=lambda: Snapshot({}))
    after: Snapshot = field(default_factory=lambda: Snapshot({}))
    orphans_s: list[float] = field(default_factory=list)
    """How long sandboxes outlived their killed program."""
    seconds: float = 0.0

    def of_kind(self, kind: str) -> list[Fault]:
        return [fault for fault in self.faults if fault.kind == kind]
