"""Every method of the database through the official SDKs and inside a function."""

from __future__ import annotations

import pytest

from tests.harness.database_sdk import (
    BORN,
    HEX,
    JERRY,
    LATER,
    PEOPLE,
    SPIKE,
    TOM,
    Steps,
    counts,
    values,
)

pytestmark = pytest.mark.e2e


def test_insert_one(run: Steps, things: str) -> None:
    results = run(
        ["on", things, "insertOne", {"_id": "word", "n": 1}],
        ["on", things, "insertOne", {"_id": HEX, "n": 2}],
        ["on", things, "insertOne", {"n": 3}],
        ["on", things, "find", {}, {"sort": {"n": 1}}],
    )
    word, hexadecimal, made, found = values(results)
    assert counts(results) == [1, 1, 1, 3]
    assert word == {"insertedId": "word", "ok": 1, "n": 1}
    assert hexadecimal["insertedId"] == HEX
    assert len(bytes.fromhex(made["insertedId"])) == 12
    assert [each["_id"] for each in found] == ["word", HEX, made["insertedId"]]


def test_insert_many(run: Steps, things: str) -> None:
    docs = [{"_id": "a"}, {"_id": HEX}, {"text": "云"}]
    results = run(["on", things, "insertMany", docs], ["on", things, "count", {}])
    made, count = values(results)
    assert list(made) == ["0", "1", "2"]
    assert (made["0"], made["1"], len(made["2"])) == ("a", HEX, 24)
    assert results[0]["value"]["affectedDocs"] == 3
    assert results[0]["value"]["insertedIds"] == list(made.values())  # the guide's sample
    assert count == 3


def test_an_object_id_is_found_by_its_digits(run: Steps, things: str) -> None:
    joined = [{"$match": {"_id": HEX}}, {"$project": {"text": {"$type": "$_id"}}}]
    one, upper, within, without, aggregated, kind = values(
        run(
            ["on", things, "insertMany", [{"_id": HEX, "n": 1}, {"_id": "word", "other": HEX}]],
            ["on", things, "findOne", {"_id": HEX.upper()}],
            ["on", things, "find", {"_id": {"$in": [HEX, "word"]}}, {"sort": {"n": -1}}],
            ["on", things, "find", {"_id": {"$ne": HEX}}],
            ["on", things, "aggregate", joined],
            ["on", things, "aggregate", [{"$project": {"_id": 0, "t": {"$type": "$other"}}}]],
        )
    )[0:6]
    assert one == {"0": HEX, "1": "word"}
    assert upper == {"_id": HEX, "n": 1}
    assert [each["_id"] for each in within] == [HEX, "word"]
    assert without == [{"_id": "word", "other": HEX}]
    assert aggregated == [{"_id": HEX, "text": "objectId"}]
    assert sorted(each["t"] for each in kind) == ["missing", "string"]


def test_dates_come_back_as_dates(run: Steps, things: str) -> None:
    doc = {"_id": "a", "born": BORN, "list": [BORN, {"at": BORN}], "text": "2020-02-29"}
    _, one, before, after, distinct, kind, changed = values(
        run(
            ["on", things, "insertOne", doc],
            ["on", things, "findOne", {"born": BORN}],
            ["on", things, "find", {"born": {"$lt": LATER}}],
            ["on", things, "find", {"born": {"$gte": LATER}}],
            ["on", things, "distinct", "born", {}],
            ["on", things, "aggregate", [{"$project": {"_id": 0, "t": {"$type": "$born"}}}]],
            [
                "on",
                things,
                "findOneAndUpdate",
                {"_id": "a"},
                {"$set": {"born": LATER}},
                {"returnNewDocument": True, "projection": {"born": 1, "_id": 0}},
            ],
        )
    )
    assert one == doc
    assert (before, after) == ([doc], [])
    assert distinct == [BORN]
    assert kind == [{"t": "date"}]
    assert changed == {"born": LATER}


def test_values_come_back_as_they_were(run: Steps, things: str) -> None:
    doc = {
        "_id": "a",
        "text": "世界 😀 &=%+ \u0000",
        "numbers": [0, -1, 2**31, 2**53 - 1, 0.1, -1.5e300],
        "none": None,
        "empty": {"object": {}, "list": [], "text": ""},
        "deep": {"a": {"b": [{"c": [True, False]}]}},
        "path": "/a/b",
    }
    assert values(
        run(["on", things, "insertOne", doc], ["on", things, "findOne", {"path": "/a/b"}])
    )[1:] == [doc]


def test_find(run: Steps, people: str) -> None:
    results = run(
        ["on", people, "find"],
        ["on", people, "find", {"age": {"$gt": 15}}, {"sort": {"age": -1}}],
        ["on", people, "find", {}, {"sort": {"age": 1}, "limit": 1}],
        ["on", people, "find", {}, {"sort": {"age": 1}, "skip": 1, "limit": 1}],
        ["on", people, "find", {"name": "tom"}, {"projection": {"age": 1}}],
        ["on", people, "find", {"name": "tom"}, {"projection": {"_id": 0, "city": 0}}],
        ["on", people, "find", {}, {"sort": {"city": 1, "age": -1}, "maxTimeMS": 3000}],
        ["on", people, "find", {"_id": "tom"}, {"hint": {"_id": 1}}],
        ["on", people, "find", {"name": {"$regex": "^T", "$options": "i"}}],
        ["on", people, "find", {"name": "nobody"}, {"uploadTime": -1}],
        ["on", f"{people}-none", "find", {}],
    )
    found = values(results)
    assert counts(results) == [3, 2, 1, 1, 1, 1, 3, 1, 1, 0, 0]
    assert found[0] == PEOPLE
    assert found[1] == [SPIKE, TOM]
    assert found[2:4] == [[JERRY], [TOM]]
    assert found[4:6] == [[{"_id": "tom", "age": 20}], [{"name": "tom", "age": 20}]]
    assert found[6] == [SPIKE, TOM, JERRY]
    assert found[7:] == [[TOM], [TOM], [], []]


def test_find_gives_five_hundred(run: Steps, things: str) -> None:
    docs = [{"_id": f"{number:03}"} for number in range(501)]
    results = run(
        ["on", things, "insertMany", docs],
        ["on", things, "find", {}, {"sort": {"_id": 1}}],
        ["on", things, "find", {}, {"limit": 501}],
        ["on", things, "find", {}, {"skip": 499}],
        ["on", things, "count", {}],
    )
    assert counts(results)[:4] == [501, 500, 500, 2]
    assert results[1]["value"]["result"] == docs[:500]
    assert results[4]["value"]["result"] == 501


def test_find_one(run: Steps, people: str) -> None:
    results = run(
        ["on", people, "findOne", {"name": "tom"}],
        ["on", people, "findOne"],
        ["on", people, "findOne", {}, {"sort": {"age": -1}, "skip": 1, "maxTimeMS": 3000}],
        ["on", people, "findOne", {"age": 30}, {"projection": {"name": 1, "_id": 0}}],
        ["on", people, "findOne", {"name": "nobody"}],
    )
    assert values(results) == [TOM, TOM, TOM, {"name": "spike"}, None]
    assert counts(results) == [1, 1, 1, 1, 0]


def test_count_and_distinct(run: Steps, people: str) -> None:
    results = values(
        run(
            ["on", people, "count", {}],
            ["on", people, "count", {"age": {"$gt": 15}}],
            ["on", people, "count", {}, {"limit": 2, "maxTimeMS": 3000}],
            ["on", people, "count", {}, {"skip": 2}],
            ["on", f"{people}-none", "count", {}],
            ["on", people, "distinct", "name", {"age": {"$gt": 15}}],
            ["on", people, "distinct", "city", {}],
            ["on", people, "distinct", "nothing", {}],
        )
    )
    assert results[:5] == [3, 2, 2, 1, 0]
    # In what order values come is nowhere promised.
    assert [sorted(each) for each in results[5:]] == [["spike", "tom"], ["上海", "杭州"], []]


def test_aggregate(run: Steps, people: str) -> None:
    grouped = [
        {"$match": {"age": {"$gt": 5}}},
        {"$group": {"_id": "$city", "count": {"$sum": 1}, "oldest": {"$max": "$age"}}},
        {"$sort": {"_id": 1}},
    ]
    joined = [
        {"$match": {"_id": "tom"}},
        {"$lookup": {"from": people, "localField": "city", "foreignField": "city", "as": "near"}},
        {"$unwind": "$near"},
        {"$replaceRoot": {"newRoot": "$near"}},
        {"$sort": {"age": 1}},
    ]
    results = run(
        ["on", people, "aggregate", grouped, {"allowDiskUse": True, "maxTimeMS": 3000}],
        ["on", people, "aggregate", joined],
        ["on", people, "aggregate", []],
        ["on", f"{people}-none", "aggregate", [{"$count": "all"}]],
    )
    assert values(results) == [
        [
            {"_id": "上海", "count": 1, "oldest": 30},
            {"_id": "杭州", "count": 2, "oldest": 20},
        ],
        [JERRY, TOM],
        PEOPLE,
        [],
    ]


def test_options_of_aggregate(run: Steps, people: str) -> None:
    flags = ["allowDiskUse", "bypassDocumentValidation", "raw"]
    flags += ["promoteLongs", "promoteValues", "promoteBuffers"]
    pipeline = [{"$match": {"name": "TOM"}}]
    collation = {"locale": "en", "strength": 2}
    results = run(
        *(["on", people, "aggregate", [], {flag: True}] for flag in flags),
        ["on", people, "aggregate", pipeline],
        ["on", people, "aggregate", pipeline, {"collation": collation}],
        ["on", people, "aggregate", pipeline, {"explain": True}],
    )
    assert values(results)[:8] == [PEOPLE] * 6 + [[], [TOM]]
    assert isinstance(results[8]["value"]["result"], list)


def test_updates_tell_how_many_changed(run: Steps, people: str) -> None:
    results = run(
        ["on", people, "updateOne", {"name": "tom"}, {"$set": {"age": 21}}],
        ["on", people, "updateOne", {"name": "tom"}, {"$set": {"age": 21}}],
        ["on", people, "updateOne", {"name": "nobody"}, {"$set": {"age": 1}}],
        ["on", people, "updateMany", {"city": "杭州"}, {"$inc": {"age": 1}}],
        ["on", people, "updateMany", {"city": "北京"}, {"$inc": {"age": 1}}],
        ["on", people, "updateOne", {"_id": "butch"}, {"$set": {"age": 5}}, {"upsert": True}],
        ["on", people, "updateMany", {"name": "quacker"}, {"$inc": {"age": 2}}, {"upsert": True}],
        ["on", people, "updateOne", {"_id": "tom"}, {"$push": {"tags": "cat"}}],
        ["on", people, "find", {}, {"sort": {"age": 1}, "projection": {"age": 1, "tags": 1}}],
    )
    assert counts(results) == [1, 0, 0, 2, 0, 1, 1, 1, 5]
    upserted = results[6]["value"]["result"]["upsertedId"]
    assert results[5]["value"]["result"] == {"upsertedId": "butch"}
    assert results[8]["value"]["result"] == [
        {"_id": upserted, "age": 2},
        {"_id": "butch", "age": 5},
        {"_id": "jerry", "age": 11},
        {"_id": "tom", "age": 22, "tags": ["cat"]},
        {"_id": "spike", "age": 30},
    ]


def test_replace_one(run: Steps, people: str) -> None:
    results = run(
        ["on", people, "replaceOne", {"name": "tom"}, {"name": "tom", "new": True}],
        ["on", people, "replaceOne", {"name": "nobody"}, {"name": "x"}],
        ["on", people, "replaceOne", {"_id": HEX}, {"name": "made"}, {"upsert": True}],
        ["on", people, "replaceOne", {"_id": "jerry"}, {}],
        ["on", people, "find", {"_id": {"$in": ["tom", HEX, "jerry"]}}, {"sort": {"name": 1}}],
    )
    assert counts(results) == [1, 0, 1, 1, 3]
    assert results[4]["value"]["result"] == [
        {"_id": "jerry"},
        {"_id": HEX, "name": "made"},
        {"_id": "tom", "name": "tom", "new": True},
    ]


def test_find_one_and_update(run: Steps, people: str) -> None:
    older = {"$inc": {"age": 1}}
    new = {"returnNewDocument": True}
    assert values(
        run(
            ["on", people, "findOneAndUpdate", {"name": "tom"}, older],
            ["on", people, "findOneAndUpdate", {"name": "tom"}, older, new],
            [
                "on",
                people,
                "findOneAndUpdate",
                {"name": "tom"},
                older,
                {"returnNewDocument": False},
            ],
            ["on", people, "findOneAndUpdate", {}, older, {"sort": {"age": -1}, "maxTimeMS": 3000}],
            [
                "on",
                people,
                "findOneAndUpdate",
                {"_id": "jerry"},
                older,
                {"projection": {"_id": 0, "age": 1}, **new},
            ],
            ["on", people, "findOneAndUpdate", {"name": "nobody"}, older],
            ["on", people, "findOneAndUpdate", {"_id": "b"}, older, {"upsert": True, **new}],
            ["on", people, "findOneAndUpdate", {"_id": "c"}, older, {"upsert": True}],
            ["on", people, "findOne", {"_id": "c"}],
        )
    ) == [
        TOM,
        TOM | {"age": 22},
        TOM | {"age": 22},
        SPIKE,
        {"age": 11},
        None,
        {"_id": "b", "age": 1},
        None,
        {"_id": "c", "age": 1},
    ]


def test_find_one_and_replace_or_delete(run: Steps, people: str) -> None:
    newest = {"sort": {"age": -1}}
    assert values(
        run(
            ["on", people, "findOneAndReplace", {}, {"name": "new"}, newest],
            ["on", people, "findOne", {"_id": "spike"}],
            ["on", people, "findOneAndReplace", {"name": "nobody"}, {"name": "x"}],
            ["on", people, "findOneAndReplace", {"_id": "z"}, {"n": 1}, {"upsert": True}],
            ["on", people, "findOne", {"_id": "z"}],
            ["on", people, "findOneAndDelete", {"age": {"$gt": 0}}, {"sort": {"age": 1}}],
            ["on", people, "findOneAndDelete", {"_id": "tom"}, {"projection": {"age": 1}}],
            ["on", people, "findOneAndDelete", {"_id": "tom"}],
            ["on", people, "count", {}],
        )
    ) == [
        SPIKE,
        {"_id": "spike", "name": "new"},
        None,
        None,
        {"_id": "z", "n": 1},
        JERRY,
        {"_id": "tom", "age": 20},
        None,
        2,
    ]


def test_deletes(run: Steps, people: str) -> None:
    results = run(
        ["on", people, "deleteOne", {"city": "杭州"}],
        ["on", people, "deleteOne", {"name": "nobody"}],
        ["on", people, "deleteMany", {"age": {"$gt": 100}}],
        ["on", people, "deleteMany", {}],
        ["on", people, "deleteMany", {}],
    )
    assert counts(results) == [1, 0, 0, 2, 0]


def test_a_duplicate_key_has_code_11000(run: Steps, things: str) -> None:
    _, one, many, changed, left = run(
        ["on", things, "insertOne", {"_id": "a", "n": 1}],
        ["on", things, "insertOne", {"_id": "a", "n": 2}],
        ["on", things, "insertMany", [{"_id": "b"}, {"_id": "a"}, {"_id": "c"}]],
        ["on", things, "insertOne", {"_id": "b"}],
        ["on", things, "find", {}, {"sort": {"_id": 1}}],
    )
    for each in (one, many, changed):
        assert each["error"]["code"] == "11000"
        assert "duplicate key" in each["error"]["message"]
    assert left["value"]["result"] == [{"_id": "a", "n": 1}, {"_id": "b"}]


def test_wrong_types_are_refused(run: Steps, people: str) -> None:
    results = run(
        ["raw", people, "find", "tom"],
        ["raw", people, "find", {}, {"limit": "1"}],
        ["raw", people, "find", {}, {"limit": -1}],
        ["raw", people, "find", {}, {"skip": 1.5}],
        ["raw", people, "find", {}, {"sort": {"age": "up"}}],
        ["raw", people, "find", {}, {"sort": [["age", 1]]}],
        ["raw", people, "find", {}, {"projection": "name"}],
        ["raw", people, "find", {}, "options"],
        ["raw", people, "findOne", [1]],
        ["raw", people, "count", 5],
        ["raw", people, "distinct", 5, {}],
        ["raw", people, "aggregate", {"$match": {}}],
        ["raw", people, "aggregate", ["$match"]],
        ["raw", people, "insertOne", [1]],
        ["raw", people, "insertOne", "text"],
        ["raw", people, "insertMany", []],
        ["raw", people, "insertMany", [1]],
        ["raw", people, "insertMany", {}],
        ["raw", people, "updateOne", {}, {}],
        ["raw", people, "updateOne", {}, {"name": "no operator"}],
        ["raw", people, "updateMany", {}, "x"],
        ["raw", people, "updateOne", {}, {"$set": {"age": 1}}, {"upsert": "yes"}],
        ["raw", people, "replaceOne", {}, {"$set": {"age": 1}}],
        ["raw", people, "findOneAndUpdate", {}, {"$inc": {"name": 1}}],
        ["raw", people, "findOneAndReplace", {}, 5],
        ["raw", people, "deleteMany", "all"],
        ["raw", people, "find", {"$where": "true"}],
        ["raw", people, "find", {"age": {"$nope": 1}}],
        ["raw", "", "find", {}],
        ["raw", "a$b", "find", {}],
        ["raw", "system.users", "find", {}],
    )
    for step, each in enumerate(results):
        assert "error" in each, (step, each)
        assert int(each["error"]["code"]) > 0, (step, each)
        assert each["error"]["message"], (step, each)
    assert values(run(["on", people, "find", {}])) == [PEOPLE]
