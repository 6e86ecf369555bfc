"""MongoDB's published cases, one test each, and the tables that hold them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.published import case as tables
from tests.published.by_service import seen_by_service
from tests.published.case import Case, Expected, read_cases
from tests.published.compare import Failure, check_answer, check_failure, same
from tests.published.purposes import PURPOSES
from tests.published.rates import purposes_of, table_of
from tests.published.run import Target, Way, read_runs, run_case

RUNS = read_runs()


@pytest.mark.integration
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("way", "case"), RUNS, ids=[f"{way}-{case.name.replace(' ', '_')}" for way, case in RUNS]
)
async def test_published(way: Way, case: Case, target: Target) -> None:
    await run_case(way, case, target)


def test_names_stand_once() -> None:
    names = [case.name for case in read_cases()]
    assert len(names) == len(set(names))


def test_every_mark_has_its_reason_and_every_reason_a_mark() -> None:
    marks = [case.ours for way, case in RUNS if way is Way.SERVICE and case.ours is not None]
    assert {mark.why for mark in marks} == set(PURPOSES)
    assert len(marks) == sum(case.ours is not None for case in read_cases())
    assert purposes_of(RUNS).count("on purpose") == len(PURPOSES)


@pytest.mark.parametrize(
    "case", [case for case in read_cases() if case.ours], ids=lambda case: case.name
)
def test_what_is_marked_is_not_what_is_published(case: Case) -> None:
    ours = case.ours
    assert ours is not None
    published = seen_by_service(case.steps[ours.at])
    assert (ours.expected, ours.leaves) != (published, case.leaves)


def test_the_readme_has_the_rates_of_these_tables() -> None:
    text = (Path(__file__).parent / "README.md").read_text()
    shown = [line.split("|")[1:9] for line in text.splitlines() if line.endswith(" % |")]
    told = [line.split() for line in table_of(RUNS, {}).splitlines()[1:]]
    assert [[row[0].strip(), *(each.replace(" ", "") for each in row[2:])] for row in shown] == [
        [row[0], *row[2:]] for row in told
    ]
    assert f", {len(read_cases())} are here" in text


def test_every_case_says_what_is_to_be_seen() -> None:
    for case in read_cases():
        seen = [step for step in case.steps if step.expected != Expected()]
        assert seen or case.leaves is not None, case.name


def test_short_forms_of_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {
        "case": "a",
        "has": 2,
        "do": "deleteOne",
        "with": {},
        "gives": 1,
        "leaves": [2, {"_id": 3}],
    }
    (tmp_path / "delete.jsonl").write_text(json.dumps(row))
    monkeypatch.setattr(tables, "TABLES", tmp_path)
    (case,) = read_cases()
    assert case.has == {"things": [{"_id": 1, "x": 11}, {"_id": 2, "x": 22}]}
    assert case.leaves == {"things": [{"_id": 2, "x": 22}, {"_id": 3}]}
    (tmp_path / "delete.jsonl").write_text(json.dumps({**row, "gievs": 1}))
    with pytest.raises(ValueError, match="delete, a: unknown gievs"):
        read_cases()


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (True, 1),
        (1, True),
        ("1", 1),
        ([1, 2], [2, 1]),
        ([1], [1, 2]),
        ({"a": 1, "b": 2}, {"a": 1}),
        ({"a": 1}, {"a": 1, "b": 2}),
        (1, "<double>"),
        (None, {}),
    ],
)
def test_what_is_not_the_same(found: object, expected: object) -> None:
    assert not same(found, expected)
    with pytest.raises(AssertionError):
        check_answer(found, Expected(expected))


def test_what_is_the_same() -> None:
    assert same({"b": [1.0, 0.5], "a": None}, {"a": None, "b": [1, "<double>"]})
    check_answer("whatever", Expected())


def test_failures_are_told_from_answers_and_from_each_other() -> None:
    refused = Expected(fails={"code": 112, "transient": True})
    conflict = Failure("busy", 112, extra={"transient": True})
    check_failure(conflict, refused, by_driver=True)
    check_failure(Failure("busy", 112), refused, by_driver=False)  # no more is told there
    for failure, expected in (
        (Failure("busy", 112), refused),
        (Failure("twice", 11000, extra={"transient": True}), refused),
        (conflict, Expected(gives=1)),
        (conflict, Expected(fails={"unsent": True})),
        (Failure("", extra={"done": {"inserted": 1}}), Expected(fails={"done": {}})),
        (
            Failure("", extra={"details": {"a": {"b": 2}}}),
            Expected(fails={"details": {"a": {"b": 1}}}),
        ),
    ):
        with pytest.raises(AssertionError):
            check_failure(failure, expected, by_driver=True)
    with pytest.raises(AssertionError, match="should have failed"):
        check_answer(1, refused)


def test_rates_count_what_is_otherwise_on_purpose_apart() -> None:
    runs = [(way, case) for way, case in RUNS if case.table == "find_and_replace"]
    marked = [case for way, case in runs if way is Way.SERVICE and case.ours]
    plain = [case for way, case in runs if way is Way.SERVICE and not case.ours]
    failures = {(Way.SERVICE, case.table, case.name): "" for case in (marked[0], plain[0])}
    core, by_driver = (line.split() for line in table_of(runs, failures).splitlines()[1:3])
    cases, passed, otherwise, failed = map(int, core[2:6])
    assert (cases, otherwise, failed) == (len(marked) + len(plain), len(marked) - 1, 2)
    assert passed == len(plain) - 1
    assert core[6] == f"{100 * passed / cases:.1f}%"
    assert core[7] == f"{100 * passed / (passed + 2):.1f}%"
    assert by_driver[3:] == [str(cases), "0", "0", "100.0%", "100.0%"]
