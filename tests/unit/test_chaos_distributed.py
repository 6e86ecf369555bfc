"""The verdicts of the distributed fault tests can fail, and the plan is what was asked for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.chaos.distributed import records
from tests.chaos.distributed.functions import Executions
from tests.chaos.distributed.options import Options
from tests.chaos.distributed.plan import BACKLOG, FREEZE, KINDS, PROCESSES, STORES, plan
from tests.chaos.distributed.synchronous import CALL_BOUND_S
from tests.chaos.distributed.tally import Call, Fault, Submission, Tally
from tests.chaos.distributed.verdicts import Entry, violations
from tests.chaos.workload import Verdict

OK = Verdict("ok", "")
LOST = Verdict("worker_lost", "ours")
CUT = Verdict("cut", "")


def executions(path: Path, times: Mapping[int, tuple[int, int]]) -> Executions:
    """How often each number started and ended."""
    lines = [
        f"{number} {what} {100 + n}\n"
        for number, counts in times.items()
        for what, count in zip(("start", "end"), counts, strict=True)
        for n in range(count)
    ]
    (path / "executions").write_text("".join(lines))
    found = Executions(path / "executions")
    found.read()
    return found


def call(verdict: Verdict = OK, *, seconds: float = 1.0) -> Call:
    return Call(
        number=1, name="quick-0", gateway=0, began=10.0, ended=10.0 + seconds, verdict=verdict
    )


def job(state: str = "accepted", *, job_id: str = "job-1", name: str = "quick-0") -> Submission:
    return Submission(
        number=1, name=name, way="management", state=state, seconds=0.1, job_id=job_id
    )


def entry(state: str = "succeeded", **more: object) -> Entry:
    known: dict[str, object] = {"job_id": "job-1", "number": 1, "attempts": 1, "result": '{"i":1}'}
    return Entry(state=state, **{**known, **more})  # type: ignore[arg-type]


def fault(kind: str, began: float) -> Fault:
    return Fault((kind,), began, began + 1, done=Counter([kind]))


@pytest.mark.parametrize(
    ("made", "times", "told"),
    [
        (call(), (1, 1), ""),
        (call(), (2, 2), "ran 2 times"),
        (call(), (0, 0), "it began 0"),
        (call(seconds=CALL_BOUND_S + 1), (1, 1), "took"),
        (call(LOST), (1, 0), ""),
        (call(LOST, seconds=1), (2, 0), "ran 2 times"),
        (call(Verdict("crashed", "function", blamed_on_function="x")), (1, 0), "blames"),
        (call(Verdict("ok", "", "another's result")), (1, 1), "another's result"),
        (call(CUT), (0, 0), "although nothing had failed"),
    ],
)
def test_calls(tmp_path: Path, made: Call, times: tuple[int, int], told: str) -> None:
    tally = Tally(Options(), calls=[made], faults=[fault("worker", 10.5)])
    found = list(violations(tally, [], executions(tmp_path, {1: times})))
    assert (told in found[0]) if told else (found == []), found


def test_a_failure_without_a_fault_is_told(tmp_path: Path) -> None:
    tally = Tally(Options(), calls=[call(LOST)], faults=[fault("worker", 50.0)])
    [found] = violations(tally, [], executions(tmp_path, {1: (1, 0)}))
    assert "although nothing had failed" in found


@pytest.mark.parametrize(
    ("told", "entries", "times", "text"),
    [
        (job(), [entry()], (1, 1), ""),
        (job(job_id=""), [entry()], (2, 1), "ran 2 times in 1 attempts"),
        (job(), [entry(attempts=2)], (2, 1), ""),
        (job(), [], (0, 0), "is in the ledger 0 times"),
        (job(), [entry(), entry(job_id="job-2")], (1, 1), "is in the ledger 2 times"),
        (job("unknown"), [], (0, 0), ""),
        (job("unknown", job_id=""), [entry(), entry(job_id="job-2")], (1, 1), "2 times"),
        (job("unknown"), [], (1, 1), "is not in the ledger"),
        (job("refused", job_id=""), [], (0, 0), ""),
        (job("refused", job_id=""), [entry()], (0, 0), "was refused"),
        (job("refused", job_id=""), [], (1, 1), "was refused"),
        (job(), [entry("running")], (1, 0), "is not over"),
        (job(), [entry("failed")], (1, 1), "ended failed"),
        (job(name="failing-0"), [entry("failed")], (1, 1), ""),
        (job(), [entry("dead", result="")], (1, 0), ""),
        (job(), [entry()], (1, 0), "without an execution that ended"),
        (job(), [entry(result='{"i":2}')], (1, 1), "another's result"),
        (job(), [entry(job_id="job-2")], (1, 1), "has another id"),
    ],
)
def test_jobs(
    tmp_path: Path, told: Submission, entries: list[Entry], times: tuple[int, int], text: str
) -> None:
    tally = Tally(Options(), submissions=[told])
    found = list(violations(tally, entries, executions(tmp_path, {1: times})))
    assert (text in found[0]) if text else (found == []), found


def test_a_job_that_nobody_asked_for_is_told(tmp_path: Path) -> None:
    [found] = violations(Tally(Options()), [entry()], executions(tmp_path, {}))
    assert "nobody asked" in found


def test_memory_is_bounded(tmp_path: Path) -> None:
    tally = Tally(Options(), peaks_mb=Counter(worker=10_000, gateway=50))
    [found] = violations(tally, [], executions(tmp_path, {}))
    assert "10000 MB" in found


@pytest.mark.parametrize("faults", [60, 250, 1000])
def test_the_plan_has_the_weights_of_the_requirement(faults: int) -> None:
    counts = Counter(kind for step in plan(faults, 7, ()) for kind in step)
    assert sum(counts.values()) == faults
    assert plan(faults, 7, ()) == plan(faults, 7, ()) != plan(faults, 8, ())
    assert 0.8 <= sum(counts[kind] for kind in PROCESSES) / faults <= 0.9
    assert 0.08 <= sum(counts[kind] for kind in STORES) / faults <= 0.14
    assert counts["freeze"] >= faults // 100
    if faults == 1000:
        assert set(counts) == set(KINDS)
        assert counts[BACKLOG] == 1


def test_chosen_kinds_only() -> None:
    counts = Counter(kind for step in plan(20, 1, ("broker", "alarm")) for kind in step)
    assert set(counts) == {"broker", "alarm"}
    assert sum(counts.values()) == 20


def test_clean_runs_are_summed_all_and_those_that_passed(tmp_path: Path) -> None:
    path = tmp_path / "faults.jsonl"
    figures = {
        "seed": 1,
        "faults": 7,
        "by_kind": {"sandbox": 3, "worker (idle)": 1, "broker": 1, "freeze": 1, "alarm": 1},
        "accepted": 10,
        "sync": {"ok": 5},
        "recovered_max_s": 1.5,
        "peak_mb": {"gateway": 100, "worker": 90},
        "notes": [],
        "violations": [],
    }
    records.append(path, "a" * 40, figures)
    records.append(path, "a" * 40 + "-dirty", figures)
    records.append(path, "b" * 40, {**figures, "violations": ["lost"], "violation_count": 1})
    table = records.summary(path).splitlines()
    assert [json.loads(line)["verdict"] for line in path.read_text().splitlines()] == [
        "passed",
        "passed",
        "failed",
    ]
    assert "aaaaaaaaaa+changes" in table[2]
    assert table[3].endswith("failed (1, see the file)")
    sums = [line.split() for line in table[-2:]]
    assert sums[0] == ["all", "2", "of", "3", "runs", "14", "8", "2", "2", "2", "20", "10"]
    assert sums[1] == ["passed", "1", "of", "3", "runs", "7", "4", "1", "1", "1", "10", "5"]
    assert FREEZE
