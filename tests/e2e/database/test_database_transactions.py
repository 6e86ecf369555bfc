"""Transactions through the official SDKs and inside a function."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.database_sdk import PEOPLE, TOM, Steps, codes, counts, values

pytestmark = pytest.mark.e2e


def test_a_transaction_is_all_or_nothing(run: Steps, people: str) -> None:
    verbs = [
        ["in", "t", "on", people, "insertOne", {"_id": "new", "age": 1}],
        ["in", "t", "on", people, "updateOne", {"_id": "new"}, {"$inc": {"age": 1}}],
        ["in", "t", "on", people, "findOneAndUpdate", {"_id": "tom"}, {"$inc": {"age": 1}}],
        ["in", "t", "on", people, "replaceOne", {"_id": "jerry"}, {"age": 1}],
        ["in", "t", "on", people, "findOneAndReplace", {"_id": "new"}, {"age": 9}],
        ["in", "t", "on", people, "findOneAndDelete", {"_id": "jerry"}],
        ["in", "t", "on", people, "deleteOne", {"_id": "spike"}],
        ["in", "t", "on", people, "findOne", {"_id": "new"}],
    ]
    answers = [
        {"insertedId": "new", "ok": 1, "n": 1},
        TOM,
        {"_id": "new", "age": 2},
        {"_id": "jerry", "age": 1},
        {"_id": "new", "age": 9},
    ]
    outside = ["on", people, "find", {}]
    for end, after in (
        ("rollback", PEOPLE),
        ("commit", [TOM | {"age": 21}, {"_id": "new", "age": 9}]),
    ):
        results = run(["start", "t"], *verbs, outside, [end, "t"], outside)
        assert results[0]["value"]["id"].startswith("tx-")
        told = values(results[1:])
        assert [told[i] for i in (0, 2, 4, 5, 7)] == answers
        assert told[8] == PEOPLE
        assert told[10] == after
        assert counts(results[1:10]) == [1] * 8 + [3]
        assert results[10]["value"]["affectedDocs"] == 0


def test_a_transaction_over_two_collections(run: Steps, things: str) -> None:
    other = f"{things}-other"
    found = values(
        run(
            ["on", things, "insertOne", {"_id": "a", "money": 10}],
            ["on", other, "insertOne", {"_id": "b", "money": 0}],
        )
        + run(
            ["start", "t"],
            ["in", "t", "on", things, "updateOne", {"_id": "a"}, {"$inc": {"money": -4}}],
            ["in", "t", "on", other, "updateOne", {"_id": "b"}, {"$inc": {"money": 4}}],
            ["in", "t", "on", f"{things}-new", "insertOne", {"_id": "c"}],
            ["commit", "t"],
            ["on", things, "findOne", {}],
            ["on", other, "findOne", {}],
            ["on", f"{things}-new", "findOne", {}],
        )[1:]
    )
    assert found[-3:] == [{"_id": "a", "money": 6}, {"_id": "b", "money": 4}, {"_id": "c"}]


def test_two_transactions_conflict(run: Steps, people: str) -> None:
    more = [people, "updateOne", {"_id": "tom"}, {"$inc": {"age": 1}}]
    results = run(
        ["start", "one"],
        ["start", "two"],
        ["in", "one", "on", *more],
        ["in", "two", "on", *more],
        ["in", "two", "on", *more],
        ["commit", "two"],
        ["commit", "one"],
        ["on", people, "findOne", {"_id": "tom"}],
    )
    assert codes(results[3:6]) == ["112", "251", "251"]
    assert results[6]["value"]["success"] is True
    assert results[7]["value"]["result"]["age"] == 21


def test_what_no_transaction_does(run: Steps, people: str) -> None:
    refused: list[list[Any]] = [
        ["aggregate", []],
        ["count", {}],
        ["distinct", "age", {}],
        ["find", {}],
        ["insertMany", [{"_id": "x"}]],
        ["updateMany", {}, {"$set": {"age": 1}}],
        ["deleteMany", {}],
    ]
    results = run(
        ["start", "t"],
        *(["in", "t", "on", people, *each] for each in refused),
        *(["in", "t", "raw", people, *each] for each in refused),
        ["rollback", "t"],
        ["commit", "t"],
        ["in", "t", "on", people, "findOne", {}],
        ["on", people, "find", {}],
    )
    for each in results[1:8]:
        assert "transaction not support action" in each["error"]["message"]
    assert codes(results[8:15]) == ["263"] * 7
    assert results[15]["value"]["success"] is True
    assert "already rollback" in results[16]["error"]["message"]
    assert results[17]["error"]["code"] == "251"
    assert results[18]["value"]["result"] == PEOPLE


def test_a_failed_command_in_a_transaction(run: Steps, people: str) -> None:
    _, failed, _, _, found = run(
        ["start", "t"],
        ["in", "t", "on", people, "insertOne", {"_id": "tom"}],
        ["in", "t", "on", people, "insertOne", {"_id": "new"}],
        ["commit", "t"],
        ["on", people, "findOne", {"_id": "new"}],
    )
    assert failed["error"]["code"] == "11000"
    assert found["value"]["result"] is None  # the server ends it at the first error


@pytest.mark.parametrize("sdk", ["server"], indirect=True)
def test_a_forgotten_transaction_is_undone(run: Steps, people: str) -> None:
    _, _, _, late, free, over = run(
        ["start", "t"],
        ["in", "t", "on", people, "updateOne", {"_id": "tom"}, {"$set": {"age": 1}}],
        ["wait", 10_700],
        ["in", "t", "on", people, "findOne", {}],
        ["on", people, "findOne", {"_id": "tom"}],
        ["commit", "t"],
    )
    assert late["error"]["code"] == "251"
    assert free["value"]["result"] == TOM
    assert over["error"]["code"] == "251"
