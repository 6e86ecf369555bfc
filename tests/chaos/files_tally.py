"""What one run of kills during uploads and deletions has seen."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.chaos.files_history import Content, Kind, Told
from tests.chaos.files_store import Kept
from tests.chaos.files_writers import Written


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Counts of one round. `under_way`: requests by kind that the kill cut off."""

    number: int
    killed: int
    sent: int
    acknowledged: int
    under_way: Counter[str]
    spooled: int
    """Files of uploads on their way into the store that the kill left behind."""
    waiting: Counter[str]
    """After the restart, see `Behind.waiting`."""
    files: int
    faults: int

    def __str__(self) -> str:
        return (
            f"kill {self.number}: {self.killed} processes; requests sent {self.sent}, acknowledged"
            f" {self.acknowledged}, under way {_told(self.under_way)}; then {self.files} files,"
            f" {self.spooled} spooled, waiting {_told(self.waiting)}; {self.faults} faults"
        )


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was seen in all rounds."""

    rounds: list[Round] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    written: Written = field(default_factory=Written)
    found: dict[str, Content] = field(default_factory=dict)
    """At the last look."""
    kept: Kept = field(default_factory=lambda: Kept(blobs={}, records=()))
    at_rest_s: float = 0.0


def figures(tally: Tally) -> dict[str, object]:
    """For the file of results."""
    history = tally.written.history
    told: dict[str, object] = {}
    for kind in Kind:
        made = list(history.all(kind))
        told[f"{kind}s_sent"] = len(made)
        told[f"{kind}s_acknowledged"] = sum(each.done for each in made)
        told[f"{kind}s_refused"] = sum(each.told is Told.REFUSED for each in made)
    cut = sum((each.under_way for each in tally.rounds), Counter[str]())
    half_done = sum(each.waiting["receiving"] + each.waiting["unfinished"] for each in tally.rounds)
    return {
        "kills": len(tally.rounds),
        "killed_processes": sum(each.killed for each in tally.rounds),
        **told,
        "operations": sum(each.kind is not Kind.REPORT for each in history.all()),
        "overwrites": history.overwrites(),
        "cut_off": dict(sorted(cut.items())),
        "spooled_at_kills": sum(each.spooled for each in tally.rounds),
        "half_done_after_kills": half_done,
        "paths": len(history.paths),
        "blobs": len(tally.kept.blobs),
        "bytes": sum(each.size for each in tally.kept.blobs.values()),
        "records": len(tally.kept.records),
        "orphans": len(tally.kept.orphans),
        "lost": len(history.lost),
        "at_rest_s": round(tally.at_rest_s, 1),
        "errors_told": dict(tally.written.codes.most_common(10)),
        "violations": tally.violations[:50],
    }


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "nothing"
