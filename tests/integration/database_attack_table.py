"""What a hostile client asks, and what must come of it (`test_database_attacks`)."""

from __future__ import annotations

import math
from typing import Any

from runtime.documents.owner import OWNER_FIELD

SPACE, ELSEWHERE = "attacked", "elsewhere"
DENIED = "PermissionDenied"
BAD_COMMAND = "InvalidParameter.command"
NONE: list[Any] = []
SET = {"$set": {"hacked": 1}}
BY_ALICE = {"_id": "alice"}
OWN = f"${OWNER_FIELD}"


def find(query: Any, collection: Any = "mine", **options: Any) -> dict[str, Any]:
    return {"command": "find", "collection": collection, "query": query, "options": options}


def stages(*pipeline: Any, collection: str = "mine", **options: Any) -> dict[str, Any]:
    return {
        "command": "aggregate",
        "collection": collection,
        "pipeline": list(pipeline),
        "options": options,
    }


def update(change: Any, *, many: bool = False, **options: Any) -> dict[str, Any]:
    return {
        "command": "updateMany" if many else "updateOne",
        "collection": "mine",
        "filter": {},
        "update": change,
        "options": options,
    }


def insert(doc: Any, collection: str = "mine") -> dict[str, Any]:
    return {"command": "insertOne", "collection": collection, "doc": doc}


def verb(command: Any, collection: Any = "mine", **arguments: Any) -> dict[str, Any]:
    return {"command": command, "collection": collection, **arguments}


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def lookup(source: Any, **more: Any) -> dict[str, Any]:
    return {"$lookup": {"from": source, "as": "x", "pipeline": NONE, **more}}


FUNCTION = {"$function": {"body": "function() { return 1 }", "args": NONE, "lang": "js"}}
ACCUMULATOR = {"$accumulator": {"init": "function() {}", "lang": "js"}}
OTHER_DATABASE = {"db": f"t_space-{ELSEWHERE}", "coll": "mine"}
ALL_FIELDS = {"$objectToArray": "$$ROOT"}

REFUSED = [
    # No rule, or one that says no.
    (find({}, "unruled"), DENIED),
    (find({}, "closed"), DENIED),
    (verb("deleteMany", "closed", filter={}), DENIED),
    (verb("collections"), DENIED),
    (verb("drop", "open"), DENIED),
    (verb("rename", "open", newName="closed"), DENIED),
    (verb("listIndexes", "open"), DENIED),
    # Joins with what is not for everybody.
    (stages(lookup("closed"), collection="open"), DENIED),
    (stages(lookup("mine"), collection="open"), DENIED),
    (stages({"$unionWith": "mine"}, collection="open"), DENIED),
    (stages({"$facet": {"a": [{"$unionWith": "mine"}]}}, collection="open"), DENIED),
    (stages({"$facet": {"a": [lookup("closed")]}}, collection="open"), DENIED),
    (stages(lookup("open", pipeline=[lookup("closed")]), collection="open"), DENIED),
    # Other databases, and collections of the database itself.
    (stages(lookup(OTHER_DATABASE), collection="open"), "2"),
    (stages({"$unionWith": OTHER_DATABASE}, collection="open"), "2"),
    (stages({"$out": OTHER_DATABASE}, collection="open"), "2"),
    (stages({"$merge": {"into": "open"}}, collection="open"), "2"),
    (stages(lookup("system.users"), collection="open"), "73"),
    (stages({"$currentOp": {}}, collection="open"), "2"),
    *(
        (find({}, name), "73")
        for name in (
            *("system.users", "$cmd", "a\0b", "", None, ["mine"], "x" * 121, "\ud800", "mine."),
        )
    ),
    (find({}, "t_space-x.mine"), DENIED),
    (find({}, "*"), DENIED),
    # Code.
    (find({"$where": "1"}), "2"),
    (find({"arr": {"$elemMatch": {"$where": "1"}}}), "2"),
    (find({"$expr": FUNCTION}), "2"),
    (stages({"$match": {"$or": [{"$where": "1"}]}}), "2"),
    (stages({"$group": {"_id": None, "a": ACCUMULATOR}}), "2"),
    (stages(lookup("open", pipeline=[{"$set": {"a": FUNCTION}}]), collection="open"), "2"),
    (update({"$pull": {"arr": {"$where": "1"}}}), "2"),
    (update({"$set": {"arr.$[x]": 1}}, arrayFilters=[{"x": {"$where": "1"}}]), "2"),
    (update([{"$set": {"a": FUNCTION}}]), "14"),
    # The hidden owner.
    (find({OWNER_FIELD: "alice"}), "2"),
    (find({"$expr": {"$eq": [OWN, "alice"]}}, "public"), "2"),
    (find({"$expr": {"$in": ["alice", {"$map": {"input": ALL_FIELDS, "in": "$$this.v"}}]}}), "2"),
    (find({"$expr": {"$getField": {"$concat": ["_yunhan", "_owner"]}}}, "public"), "2"),
    (find({}, sort={OWNER_FIELD: 1}), "2"),
    (find({}, projection={OWNER_FIELD: 1}), "2"),
    (find({}, hint={OWNER_FIELD: 1}), "2"),
    (verb("distinct", key=OWNER_FIELD, query={}), "2"),
    (stages({"$sortByCount": f"$$ROOT.{OWNER_FIELD}"}, collection="public"), "2"),
    (stages({"$match": {}}, explain=True), "2"),
    (stages({"$match": {}}, collation={"locale": "en", "strength": 1}), "2"),
    (insert({OWNER_FIELD: "alice"}), "2"),
    (update({"$set": {OWNER_FIELD: "alice"}}), "2"),
    (update({"$unset": {OWNER_FIELD: ""}}), "2"),
    (update({"$rename": {OWNER_FIELD: "o"}}), "2"),
    (update({"$rename": {"secret": OWNER_FIELD}}), "2"),
    (update({"$setOnInsert": {OWNER_FIELD: "alice"}}, upsert=True), "2"),
    (verb("replaceOne", filter={}, doc={OWNER_FIELD: "alice"}), "2"),
    # A document of somebody else's by its id.
    (insert({"_id": "alice"}), "11000"),
    (verb("updateOne", filter=BY_ALICE, update=SET, options={"upsert": True}), "11000"),
    (verb("replaceOne", filter=BY_ALICE, doc={"a": 1}, options={"upsert": True}), "11000"),
    # Wild values.
    (find({}, limit=-1), "2"),
    (find({}, limit="1"), "14"),
    (find({}, limit=1.5), "14"),
    (find({}, maxTimeMS="1"), "14"),
    (find({}, sort={"n": True}), "14"),
    (find({}, hint={"n": "\ud800"}), "2"),
    (find({"a": "\ud800"}), "2"),
    (find({"_id": {"$in": list(range(1_000_000))}}), "2"),
    (find(nested(101)), "2"),
    (find({"secret": {"$regex": "(a+)+$"}}), "2"),
    (find({"secret": {"$regex": "a" * 1001}}), "2"),
    (insert(nested(5000)), "2"),
    (insert({"a": "x" * 17_000_000}), "10334"),
    (insert({"_id": ["x"]}), "53"),
    (update({"$inc": {"secret": 1}}), "14"),
    (verb("replaceOne", filter={"_id": "mallory"}, doc={"_id": "other"}), "66"),
    (stages({"$project": {"r": {"$size": {"$range": [0, 2_000_000_000]}}}}), "146"),
    ({**find({}), "options": [1]}, "14"),
    (verb("FIND"), BAD_COMMAND),
    (verb(None), BAD_COMMAND),
]

MALLORYS = [
    (find({}), 1),
    (find({"$or": [{}, {"_id": "alice"}]}), 1),
    (find({"$nor": [{"_id": "mallory"}]}), 0),
    (find({"_id": "alice"}), 0),
    (find({}, limit=2**53), 1),
    (find({}, limit=0, maxTimeMS=2**53), 1),
    (verb("count", query={}), 1),
    (verb("count", query={"secret": {"$regex": "^alice"}}), 0),
    (verb("distinct", key="secret", query={}), 1),
    (stages({"$match": {"$or": [{"_id": "alice"}, {}]}}), 1),
    (stages({"$group": {"_id": "$$ROOT"}}), 1),
    (stages({"$sort": {"_id": 1}}, {"$limit": 5}), 1),
    (verb("updateMany", filter={}, update=SET), 1),
    (verb("updateOne", filter=BY_ALICE, update=SET), 0),
    (verb("replaceOne", filter=BY_ALICE, doc={"a": 1}), 0),
    (verb("findOneAndUpdate", filter=BY_ALICE, update=SET), 0),
    (verb("findOneAndDelete", filter=BY_ALICE), 0),
    (verb("deleteOne", filter={"$nor": [{"_id": "mallory"}]}), 0),
    (verb("deleteMany", filter={}), 1),
]

SHOWN = [
    stages({"$group": {"_id": None, "all": {"$push": "$$ROOT"}}}, collection="public"),
    stages({"$project": {"all": ALL_FIELDS}}, collection="public"),
    stages(lookup("public"), collection="open"),
    stages({"$unionWith": "public"}, {"$project": {"all": ALL_FIELDS}}, collection="open"),
    stages({"$facet": {"a": [{"$project": {"all": ALL_FIELDS}}]}}, collection="public"),
    stages(lookup("public", pipeline=[{"$project": {"all": ALL_FIELDS}}]), collection="open"),
    find({}, "public"),
    verb("findOneAndUpdate", "open", filter={}, update=SET),
]


def shown(expression: Any) -> dict[str, Any]:
    return stages({"$match": {"_id": "mallory"}}, {"$project": {"_id": 0, "x": expression}})


def loop(times: int, expression: Any) -> dict[str, Any]:
    return {"$size": {"$map": {"input": {"$range": [0, times]}, "in": expression}}}


def decimal(digits: str) -> dict[str, Any]:
    return {"$toDecimal": digits}


ENDLESS = [
    # Each kept the embedded server busy for seconds, or for ever.
    (shown({"$multiply": [2**53 - 1] * 10_000}), "146"),
    (shown({"$setDifference": [{"$range": [0, 2000]}, {"$range": [2000, 4000]}]}), "146"),
    (shown({"$setIntersection": [{"$range": [0, 2000]}, {"$range": [0, 2000]}]}), "146"),
    (
        shown(
            {
                "$zip": {
                    "useLongestLength": True,
                    "inputs": [[1]] * 5000 + [{"$range": [0, 50_000]}],
                }
            }
        ),
        "146",
    ),
    (shown(loop(100_000, {"$ln": decimal("1.2345E-6000")})), "146"),
    (shown(loop(100_000, {"$toDate": "2020-01-01"})), "146"),
    (shown({"$toDate": "9" * 20_000}), "241"),
    (shown({"$toDate": {"$concat": ["1-" * 10_000]}}), "241"),
    (shown({"$dateFromString": {"dateString": "jan " * 5_000}}), "241"),
    (shown({"$range": [0, {"$add": ["$n", 5_000_000]}]}), "241"),
    (shown({"$asinh": decimal("1.2345E-4900")}), "241"),
    (shown({"$sin": decimal("1E6144")}), "241"),
    (find({"$expr": {"$gt": [{"$atanh": decimal("1.2345E-6143")}, 1]}}), "241"),
]

COMPUTED = [
    # What is beyond doubles is Infinity, which JSON has not.
    ({"$pow": [10, 1_000_000_000]}, None),
    ({"$pow": [10, {"$multiply": ["$n", 1_000_000_000]}]}, None),
    ({"$pow": [{"$add": ["$n", 1]}, 2**53 - 1]}, None),
    ({"$pow": ["$n", 2**53 - 1]}, 1),
    ({"$pow": [{"$multiply": ["$n", -1]}, 2**53 - 1]}, -1),
    ({"$pow": [1.05, {"$add": ["$n", 2]}]}, 1.05**3),
    ({"$pow": [{"$add": [1, 1e-9]}, {"$multiply": ["$n", 1_000_000]}]}, (1 + 1e-9) ** 1_000_000),
    ({"$type": {"$pow": [{"$add": ["$n", 2]}, "$n"]}}, "int"),
    ({"$pow": ["$n", "$absent"]}, None),
    ({"$cos": decimal("7.77777E305")}, math.cos(7.77777e305)),
    ({"$sin": "$n"}, math.sin(1)),
    ({"$tan": "$absent"}, None),
    ({"$toDate": "2020-01-01T00:00:00Z"}, "2020-01-01T00:00:00.000Z"),
    ({"$dateFromString": {"dateString": "$absent", "onNull": "none"}}, "none"),
    ({"$convert": {"input": "9" * 100, "to": "string"}}, "9" * 100),
    ({"$range": [0, {"$size": "$arr"}]}, [0, 1]),
    ({"$range": ["$n", -4, -2]}, [1, -1, -3]),
    ({"$zip": {"inputs": ["$arr", "$arr"]}}, [[1, 1], [2, 2]]),
]
"""Expressions on a document with `n` 1 and `arr` [1, 2], and their values."""
