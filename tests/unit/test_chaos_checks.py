"""The fault tests' own checks can fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.chaos import verdicts
from tests.chaos.results import note
from tests.chaos.snapshot import Snapshot
from tests.chaos.tally import Call, Fault, Options, Tally
from tests.chaos.workload import Verdict

OK = Verdict("ok", "")
LOST = Verdict("sandbox_lost", "ours")
CUT = Verdict("cut", "")


def tally(*told: Verdict, faults: tuple[Fault, ...] = (), callers: int = 2) -> Tally:
    """Each call lasts from its number to a second later."""
    calls = [
        Call(number=number, name="quick-1", began=number, ended=number + 1, verdict=verdict)
        for number, verdict in enumerate(told, 1)
    ]
    options = Options(rung="process", calls=len(calls), callers=callers)
    return Tally(options, calls=calls, faults=list(faults))


def fault(kind: str, at: float, victims: int = 1, failed: int = 0) -> Fault:
    return Fault(kind, at, at, at + 0.1, victims, failed=failed)


@pytest.mark.parametrize(
    "good",
    [
        tally(OK, OK),
        tally(OK, LOST, faults=(fault("sandbox", 2.5),)),
        tally(CUT, CUT, faults=(fault("program", 2.0),)),
        tally(LOST, LOST, LOST, faults=(fault("engine", 1.5),)),
    ],
)
def test_what_kills_explain_is_no_violation(good: Tally) -> None:
    assert list(verdicts.violations(good)) == []


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (tally(LOST), "although nothing was killed"),
        (tally(LOST, faults=(fault("sandbox", 9.0),)), "although nothing was killed"),
        (tally(CUT, faults=(fault("sandbox", 1.5),)), "although nothing was killed"),
        (tally(LOST, LOST, faults=(fault("sandbox", 1.5),)), "only 1 sandboxes were killed"),
        (tally(OK, faults=(fault("sandbox", 1.5, failed=2),)), "only 1 sandboxes were killed"),
        (tally(CUT, CUT, faults=(fault("program", 2.0),), callers=1), "2 calls were cut off"),
        (tally(Verdict("crashed", "function", "", "x")), "blame the function"),
        (tally(Verdict("ok", "", "another's result")), "another's result"),
    ],
)
def test_what_they_do_not_explain_is_one(bad: Tally, text: str) -> None:
    assert any(text in violation for violation in verdicts.violations(bad))


def test_a_call_without_an_outcome_is_a_violation() -> None:
    lacking = tally(OK, OK)
    lacking.calls.pop()
    assert list(verdicts.violations(lacking)) == ["not one outcome: calls [2]"]


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (0, 1), (1, 0)])
def test_more_and_less_are_differences(before: int, after: int) -> None:
    [line] = Snapshot({"mount x": before}).difference(Snapshot({"mount x": after}))
    assert line == f"mount x: {before} -> {after}"


def test_only_pools_may_differ_and_only_by_their_bound() -> None:
    pool = "descriptor tcp to a child"
    assert Snapshot({pool: 4}).difference(Snapshot({pool: 12})) == []
    assert Snapshot({pool: 4}).difference(Snapshot({pool: 13})) == [f"{pool}: 4 -> 13"]


def test_a_run_is_noted_with_its_commit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "deep" / "chaos.jsonl"
    assert note("burst", {"rung": "process", "violations": []}, results) == 0
    assert note("burst", {"rung": "process", "violations": ["x"]}, results) == 1
    good, bad = map(json.loads, results.read_text().splitlines())
    assert (good["kind"], good["rung"], good["violations"]) == ("burst", "process", [])
    assert len(good["commit"]) >= 7
    assert bad["violations"] == ["x"]
    assert "VIOLATION x" in capsys.readouterr().out
