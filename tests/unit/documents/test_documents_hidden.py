from __future__ import annotations

from typing import Any

import pytest

from runtime.documents.errors import BAD_VALUE, DatabaseError
from runtime.documents.hidden import INSERTED_FIELD, OWNER_FIELD, refuse_hidden
from runtime.messages import DocumentCommand, Verb

H = OWNER_FIELD


def command(verb: Verb, options: dict[str, Any] | None = None, **arguments: Any) -> DocumentCommand:
    return DocumentCommand(
        verb=verb, collection="c", arguments=arguments, options={} if options is None else options
    )


def pipeline(*stages: Any) -> DocumentCommand:
    return command(Verb.AGGREGATE, pipeline=list(stages))


def find(query: Any) -> DocumentCommand:
    return command(Verb.FIND, query=query)


def find_with(**options: Any) -> DocumentCommand:
    return command(Verb.FIND, options)


def update(change: Any, condition: Any = None) -> DocumentCommand:
    return command(Verb.UPDATE_MANY, filter=condition or {}, update=change)


NAMING = [
    find({H: "foe"}),
    find({H: {"$exists": True}}),
    find({f"{H}.x": 1}),
    find({f"a.{H}": 1}),
    find({INSERTED_FIELD: None}),
    find({"$or": [{"a": 1}, {"$nor": [{H: "foe"}]}]}),
    find({"a": {"$elemMatch": {H: 1}}}),
    find({"a": {H: 1}}),
    find({"$expr": {"$eq": [f"${H}", "foe"]}}),
    find({"$expr": {"$eq": [f"$$ROOT.{H}", "foe"]}}),
    find({"$expr": {"$let": {"vars": {"o": f"$$CURRENT.{H}"}, "in": {"$eq": ["$$o", "foe"]}}}}),
    find({"$expr": {"$eq": [{"$getField": H}, "foe"]}}),
    find({"$expr": {"$eq": [{"$getField": {"field": {"$literal": H}, "input": "$a"}}, "foe"]}}),
    find_with(sort={H: 1}),
    find_with(projection={H: 1}),
    find_with(projection={H: 0}),
    find_with(projection={"a": f"${H}"}),
    find_with(hint={H: 1}),
    find_with(hint=f"{H}_1"),
    find_with(projection={"a": {"$meta": "indexKey"}}),
    command(Verb.DISTINCT, key=H, query={}),
    command(Verb.DISTINCT, key=f"{H}.a", query={}),
    command(Verb.INSERT_ONE, doc={H: "foe"}),
    command(Verb.INSERT_ONE, doc={"a": [{"b": {H: "foe"}}]}),
    command(Verb.INSERT_MANY, docs=[{"a": 1}, {H: "foe"}]),
    command(Verb.REPLACE_ONE, filter={}, doc={H: "foe"}),
    command(Verb.FIND_ONE_AND_REPLACE, filter={}, replacement={H: "foe"}),
    command(Verb.FIND_ONE_AND_DELETE, {"sort": {H: 1}}, filter={}),
    command(Verb.DELETE_MANY, filter={H: "foe"}),
    command(Verb.CREATE_INDEX, keys={H: 1}),
    update({"$set": {H: "me"}}),
    update({"$set": {f"{H}.a": "me"}}),
    update({"$unset": {H: ""}}),
    update({"$setOnInsert": {H: "foe"}}),
    update({"$rename": {H: "a"}}),
    update({"$rename": {"a": H}}),
    update({"$rename": {"a": f"{H}.b"}}),
    update({"$push": {"a": {"$each": [{H: 1}]}}}),
    update({"$pull": {"a": {H: 1}}}),
    update({"$min": {H: "0"}}),
    update({"$currentDate": {H: True}}),
    update([{"$set": {"a": f"${H}"}}]),
    update({"$set": {"a": 1}}, {H: "foe"}),
    command(
        Verb.UPDATE_ONE,
        {"arrayFilters": [{f"x.{H}": 1}]},
        filter={},
        update={"$set": {"a.$[x].b": 1}},
    ),
    pipeline({"$match": {H: "foe"}}),
    pipeline({"$project": {"a": f"${H}"}}),
    pipeline({"$project": {H: 1}}),
    pipeline({"$group": {"_id": f"$$ROOT.{H}"}}),
    pipeline({"$sort": {H: 1}}),
    pipeline({"$unset": H}),
    pipeline({"$unset": ["a", H]}),
    pipeline({"$sortByCount": f"${H}"}),
    pipeline({"$unwind": {"path": f"${H}"}}),
    pipeline({"$lookup": {"from": "c", "localField": "a", "foreignField": H, "as": "x"}}),
    pipeline({"$lookup": {"from": "c", "localField": "a", "foreignField": "a", "as": H}}),
    pipeline({"$lookup": {"from": "c", "let": {"o": f"${H}"}, "pipeline": [], "as": "x"}}),
    pipeline({"$lookup": {"from": "c", "pipeline": [{"$match": {H: 1}}], "as": "x"}}),
    pipeline(
        {
            "$graphLookup": {
                "from": "c",
                "startWith": "$a",
                "connectFromField": "a",
                "connectToField": H,
                "as": "x",
            }
        }
    ),
    pipeline({"$facet": {"f": [{"$project": {"a": f"${H}"}}]}}),
    pipeline({"$unionWith": {"coll": "c", "pipeline": [{"$group": {"_id": f"${H}"}}]}}),
    pipeline({"$project": {"a": {"$getField": H}}}),
    pipeline({"$project": {"a": {"$getField": {"field": {"$literal": H}, "input": "$$ROOT"}}}}),
    pipeline({"$project": {"k": {"$objectToArray": {"$meta": "indexKey"}}}}),
]

READING_UNNAMED = [
    find({"$expr": {"$eq": [{"$getField": {"$concat": ["_yunhan", "_own", "er"]}}, "foe"]}}),
    find({"$expr": {"$eq": [{"$getField": {"field": {"$concat": ["a"]}, "input": "$b"}}, 1]}}),
    find({"$expr": {"$eq": [{"$getField": "$name_of_a_field"}, "foe"]}}),
    find(
        {
            "$expr": {
                "$in": ["foe", {"$map": {"input": {"$objectToArray": "$$ROOT"}, "in": "$$this.v"}}]
            }
        }
    ),
    find({"$and": [{"$expr": {"$gt": [{"$bsonSize": "$$CURRENT"}, 100]}}]}),
    find({"$expr": "$$ROOT"}),
    find({"$jsonSchema": {"patternProperties": {"^_yun": {"enum": ["foe"]}}}}),
    find({"$or": [{"$jsonSchema": {"maxProperties": 3}}]}),
    find_with(projection={"a": {"$objectToArray": "$$ROOT"}}),
    find_with(projection={"a": "$$ROOT"}),
    find_with(projection={"a": {"$getField": {"$concat": ["_yunhan", "_owner"]}}}),
    command(Verb.COUNT, query={"$expr": {"$eq": ["$$ROOT", {}]}}),
    command(Verb.DISTINCT, key="a", query={"$expr": {"$eq": ["$$ROOT", {}]}}),
    command(Verb.DELETE_MANY, filter={"$expr": {"$eq": ["$$ROOT", {}]}}),
    update({"$set": {"a": 1}}, {"$expr": {"$eq": ["$$ROOT", {}]}}),
]

HARMLESS = [
    find(None),
    find({"a": H[1:], "$expr": {"$eq": ["$a", "$$ROOT.b"]}}),
    find({"$expr": {"$eq": [{"$getField": "a.b"}, {"$getField": {"field": "c", "input": "$d"}}]}}),
    find({"a": "$$ROOT", "b": {"$regex": "^x"}}),
    find_with(projection={"a": 1}, sort={"a": -1}, hint={"a": 1}),
    command(Verb.INSERT_ONE, doc={"a": H, "b": f"${H}", "c": "$$ROOT", "d": {"$expr": "$$ROOT"}}),
    update({"$set": {"a": H}, "$push": {"b": "$$ROOT"}, "$rename": {"c": "d"}}),
    pipeline({"$project": {"a": {"$objectToArray": "$$ROOT"}}}),
    pipeline({"$match": {"$jsonSchema": {"required": ["a"]}}}),
    command(Verb.START_TRANSACTION),
]


@pytest.mark.parametrize("refused", NAMING, ids=str)
def test_nobody_names_the_owner(refused: DocumentCommand) -> None:
    with pytest.raises(DatabaseError, match=r"reserved|indexKey") as error:
        refuse_hidden(refused)
    assert error.value.number == BAD_VALUE


@pytest.mark.parametrize("refused", READING_UNNAMED, ids=str)
def test_nobody_reads_the_owner_without_naming_it(refused: DocumentCommand) -> None:
    with pytest.raises(DatabaseError, match="could show hidden fields") as error:
        refuse_hidden(refused)
    assert error.value.number == BAD_VALUE


@pytest.mark.parametrize("allowed", HARMLESS, ids=str)
def test_everything_else_goes_through(allowed: DocumentCommand) -> None:
    refuse_hidden(allowed)


def test_depth_costs_no_stack() -> None:
    nested: Any = {"a": 1}
    for _ in range(50_000):
        nested = {"$and": [nested]}
    refuse_hidden(find(nested))
