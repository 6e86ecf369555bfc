"""What filters, updates, documents and pipelines may hold, and what not: allow-lists and bounds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.documents.errors import DatabaseError
from runtime.documents.operators import OperatorLimits, check_command
from runtime.documents.parse import parse_command
from runtime.errors import InvalidParameterError
from runtime.messages.documents import DocumentCommand, Verb
from tests.unit.documents.document_commands_support import aggregate, find, insert, replace, update

LIMITS = OperatorLimits()


POINT = {"type": "Point", "coordinates": [1, 2]}

ALLOWED = [
    find({}),
    find({"a": 1, "b.c": None, "": 1, "d": {}, "e": {"f": {"g": [1, {}]}}}),
    find({"a": {"$eq": 1, "$ne": 2, "$gt": 1, "$gte": 1, "$lt": "x", "$lte": {"b": 1}}}),
    find({"a": {"$in": [1, "b", None, {"c": 1}], "$nin": [], "$all": ["x", [1]]}}),
    find({"a": {"$all": [{"$elemMatch": {"b": 1, "c": {"$gt": 2}}}]}}),
    find({"a": {"$elemMatch": {"$gte": 1, "$lt": 5}}}),
    find({"a": {"$elemMatch": {"$or": [{"b": 1}, {"c": {"$in": [1]}}]}}}),
    find({"a": {"$not": {"$regex": "^a", "$options": "i"}, "$exists": True, "$type": ["int", 2]}}),
    find({"a": {"$mod": [4, 0], "$size": 2, "$bitsAllSet": 5, "$bitsAnyClear": [1, 2]}}),
    find({"$and": [{"a": 1}, {"$or": [{"b": 1}, {"$nor": [{"c": 1}]}]}], "$comment": "why"}),
    find({"$expr": {"$gt": ["$a", {"$add": ["$b", 1]}]}}),
    find({"$text": {"$search": "coffee", "$language": "en", "$caseSensitive": False}}),
    find({"at": {"$near": {"$geometry": POINT, "$maxDistance": 10}}}),
    find({"at": {"$near": [1, 2], "$maxDistance": 1}}),
    find({"at": {"$geoWithin": {"$centerSphere": [[1, 2], 0.1]}}}),
    find({"name": {}}),
    update({"$set": {"a.b": {"c.d": 1}, "e.$": 1, "f.$[].g": 2, "h.$[x].i": 3, "j.0": []}}),
    update({"$set": {"a.$[x]": 1}}, arrayFilters=[{"x.b": {"$gt": 1}}]),
    update({"$unset": {"a": ""}, "$inc": {"b": 1.5}, "$mul": {"c": -2}, "$min": {"d": "x"}}),
    update({"$max": {"a": 1}, "$rename": {"b": "c.d"}, "$setOnInsert": {"e": {}}, "$pop": {"f": -1}}),
    update({"$currentDate": {"a": True, "b": {"$type": "date"}, "c": {"$type": "timestamp"}}}),
    update({"$push": {"a": {"$each": [{"b": 1}], "$position": 0, "$slice": -5, "$sort": {"b": 1}}}}),
    update({"$push": {"a": {"b": 1}, "c": [1]}, "$addToSet": {"d": {"$each": [1]}, "e": 1}}),
    update({"$pull": {"a": 1, "b": {"$gte": 3}, "c": {"d": 1, "e": {"$in": [1]}}}}),
    update({"$pull": {"a": {"$elemMatch": {"b": 1}}}, "$pullAll": {"c": [1, 2]}}),
    update({"$bit": {"a": {"and": 1, "or": 2}}}),
    insert({"_id": "x", "a": [{"b.c": 1}], "d": {"e": "$f"}, "表": None}),
    replace({"a.b": {"c.d": 1}}),
    aggregate(),
    aggregate({"$match": {"age": {"$gt": 5}}}, {"$group": {"_id": "$name", "n": {"$sum": 1}}}),
    aggregate({"$group": {"_id": None, "all": {"$push": "$$ROOT"}, "n": {"$count": {}}}}),
    aggregate({"$project": {"a": 1, "b": 0, "c": "$d", "e": {"f": 1}, "g": {"$slice": ["$h", 2]}}}),
    aggregate({"$addFields": {"a.b": {"$cond": [{"$eq": ["$c", "$$NOW"]}, 1, "$$REMOVE"]}}}),
    aggregate({"$set": {"a": {"$literal": "$b"}}}, {"$unset": ["a", "b.c"]}, {"$unset": "d"}),
    aggregate({"$unwind": "$a"}, {"$unwind": {"path": "$a.b", "includeArrayIndex": "i"}}),
    aggregate({"$sort": {"a": 1, "b": {"$meta": "textScore"}}}, {"$limit": 5}, {"$skip": 0}),
    aggregate({"$count": "n"}, {"$sortByCount": {"$toLower": "$a"}}, {"$sample": {"size": 3}}),
    aggregate({"$replaceRoot": {"newRoot": {"$mergeObjects": ["$a", "$$ROOT"]}}}),
    aggregate({"$replaceWith": "$a"}, {"$redact": {"$cond": ["$a", "$$PRUNE", "$$DESCEND"]}}),
    aggregate({"$bucket": {"groupBy": "$a", "boundaries": [0, 5], "default": "x",
                           "output": {"n": {"$sum": 1}}}}),
    aggregate({"$bucketAuto": {"groupBy": "$a", "buckets": 4, "granularity": "R5"}}),
    aggregate({"$facet": {"a": [{"$match": {"b": 1}}], "c": [{"$count": "n"}]}}),
    aggregate({"$geoNear": {"near": POINT, "distanceField": "d", "query": {"a": 1},
                            "spherical": True}}),
    aggregate({"$setWindowFields": {"partitionBy": "$a", "sortBy": {"b": 1}, "output": {
        "c": {"$sum": "$d", "window": {"documents": ["unbounded", "current"]}},
        "r": {"$rank": {}}}}}),
    aggregate({"$project": {"a": {"$map": {"input": "$b", "as": "x", "in": "$$x.c"}},
                            "d": {"$let": {"vars": {"y": 1}, "in": {"$in": ["$$y", [1, 2]]}}},
                            "e": {"$regexMatch": {"input": "$f", "regex": "^a", "options": "i"}},
                            "g": {"$meta": "textScore"},
                            "h": {"$switch": {"branches": [{"case": "$i", "then": 1}],
                                              "default": 2}}}}),
]  # fmt: skip


@pytest.mark.parametrize("command", ALLOWED, ids=lambda each: str(each.arguments)[:60])
def test_what_is_allowed(command: DocumentCommand) -> None:
    assert check_command(command, LIMITS) == frozenset()


CODE = {"body": "function() {}", "args": [], "lang": "js"}

REFUSED: list[tuple[DocumentCommand, str]] = [
    # code
    (find({"$where": "sleep(1)"}), "$where"),
    (find({"$or": [{"a": {"$elemMatch": {"$where": "1"}}}]}), "$where"),
    (find({"a": {"$where": "1"}}), "$where"),
    (find({"$expr": {"$function": CODE}}), "$function"),
    (find({"$and": [{"$expr": {"$eq": [1, {"$function": CODE}]}}]}), "$function"),
    (aggregate({"$match": {"$where": "1"}}), "$where"),
    (aggregate({"$match": {"$expr": {"$function": CODE}}}), "$function"),
    (aggregate({"$project": {"a": {"b": [{"$function": CODE}]}}}), "$function"),
    (aggregate({"$group": {"_id": {"$function": CODE}}}), "$function"),
    (aggregate({"$group": {"_id": 1, "a": {"$accumulator": {}}}}), "$accumulator"),
    (aggregate({"$group": {"_id": 1, "a": {"$sum": {"$function": CODE}}}}), "$function"),
    (aggregate({"$facet": {"a": [{"$set": {"b": {"$function": CODE}}}]}}), "$function"),
    (aggregate({"$lookup": {"from": "b", "as": "c", "let": {"d": {"$function": CODE}}}}), "$function"),
    (aggregate({"$bucket": {"groupBy": 1, "boundaries": [], "output": {"a": {"$accumulator": 1}}}}),
     "$accumulator"),
    (aggregate({"$graphLookup": {"from": "b", "startWith": {"$function": CODE}, "as": "c",
                                 "connectFromField": "d", "connectToField": "e"}}), "$function"),
    (aggregate({"$graphLookup": {"from": "b", "startWith": 1, "as": "c", "connectFromField": "d",
                                 "connectToField": "e",
                                 "restrictSearchWithMatch": {"$where": "1"}}}), "$where"),
    (aggregate({"$sortByCount": {"$function": CODE}}), "$function"),
    (aggregate({"$redact": {"$function": CODE}}), "$function"),
    (aggregate({"$geoNear": {"near": [1, 2], "query": {"$where": "1"}}}), "$where"),
    (aggregate({"$setWindowFields": {"output": {"a": {"$accumulator": 1}}}}), "$accumulator"),
    (update({"$pull": {"a": {"$where": "1"}}}), "$where"),
    (update({"$set": {"a": 1}}, arrayFilters=[{"$where": "1"}]), "$where"),
    # writes elsewhere, the server's state, other databases
    *[
        (aggregate({name: value}), name)
        for name, value in [
            ("$out", "b"), ("$out", {"db": "other", "coll": "b"}), ("$merge", {"into": "b"}),
            ("$merge", {"into": {"db": "other", "coll": "b"}}), ("$currentOp", {}),
            ("$listSessions", {}), ("$listLocalSessions", {}), ("$collStats", {}),
            ("$indexStats", {}), ("$planCacheStats", {}), ("$changeStream", {}),
            ("$documents", [{}]), ("$queryStats", {}), ("$shardedDataDistribution", {}),
            ("$listCatalog", {}), ("$_internalInhibitOptimization", {}), ("$search", {}),
            ("$mergeCursors", {}), ("match", {}),
        ]
    ],
    (aggregate({"$facet": {"a": [{"$out": "b"}]}}), "$out"),
    (aggregate({"$lookup": {"from": "b", "as": "c", "pipeline": [{"$out": "d"}]}}), "$out"),
    (aggregate({"$unionWith": {"coll": "b", "pipeline": [{"$merge": {"into": "d"}}]}}), "$merge"),
    (aggregate({"$lookup": {"from": {"db": "other", "coll": "b"}, "as": "c"}}), "from"),
    (aggregate({"$lookup": {"from": "b", "as": "c", "db": "other"}}), "db"),
    (aggregate({"$lookup": {"as": "c", "pipeline": []}}), "from"),
    (aggregate({"$unionWith": {"db": "other", "coll": "b"}}), "db"),
    (aggregate({"$unionWith": {"coll": {"db": "other", "coll": "b"}}}), "coll"),
    (aggregate({"$unionWith": {"pipeline": []}}), "coll"),
    (aggregate({"$unionWith": ["b"]}), "$unionWith"),
    (aggregate({"$unionWith": "system.users"}), "system.users"),
    (aggregate({"$lookup": {"from": "$cmd.aggregate", "as": "c"}}), "$cmd"),
    (aggregate({"$graphLookup": {"from": {"db": "o"}, "startWith": 1, "as": "c",
                                 "connectFromField": "d", "connectToField": "e"}}), "from"),
    (aggregate({"$project": {"a": "$$CLUSTER_TIME"}}), "CLUSTER_TIME"),
    (aggregate({"$project": {"a": "$$USER_ROLES.db"}}), "USER_ROLES"),
    (aggregate({"$project": {"a": {"$meta": "indexKey"}}}), "$meta"),
    (aggregate({"$project": {"a": {"$toHashedIndexKey": 1}}}), "$toHashedIndexKey"),
    (aggregate({"$project": {"a": {"$eq": [1, 1], "b": 1}}}), "only key"),
    # filters
    (find({"$jsonSchema": {}}), "$jsonSchema"),
    (find({"$unknown": 1}), "$unknown"),
    (find({"a": {"$unknown": 1}}), "$unknown"),
    (find({"a": {"$gt": 1, "b": 2}}), "'b'"),
    (find({"a": {"b": {"$gt": 1}}}), "$gt"),
    (find({"a": {"$eq": {"$gt": 1}}}), "$gt"),
    (find({"a": {"$in": [{"$regex": "a"}]}}), "$regex"),
    (find({"a": {"$in": 1}}), "array"),
    (find({"$or": {}}), "array"),
    (find({"$or": [1]}), "object"),
    (find({"a": {"$not": 1}}), "$not"),
    (find({"a": {"$not": {"b": 1}}}), "$not"),
    (find({"a": {"$elemMatch": 1}}), "$elemMatch"),
    (find({"a": {"$elemMatch": {"$or": [{"b": 1}, {"$expr": 1}]}}}), "$expr"),
    (update({"$pull": {"a": {"$expr": 1}}}), "$expr"),
    (find({"a.$b": 1}), "a.$b"),
    (find({"a\0": 1}), "NUL"),
    (find({"a": {"b\0": 1}}), "NUL"),
    (find({"\ud800": 1}), "surrogate"),
    (find({"a": {"$regex": {}}}), "strings"),
    (find({"a": {"$regex": "a", "$options": 1}}), "strings"),
    (find({"a": {"$options": "i"}}), "$regex"),
    (find({"a": {"$regex": "(a+)+"}}), "regular expression"),
    (find({"a": {"$not": {"$regex": "(a+)+"}}}), "regular expression"),
    (find({"a": {"$regex": "a" * 1001}}), "1000"),
    (find({"$or": [{"a": {"$regex": "a"}}] * 21}), "20"),
    (find({"a": {"$geoWithin": {"$evil": 1}}}), "$evil"),
    (find({"$text": {"$search": "a", "$x": 1}}), "$x"),
    (find({"$text": "a"}), "object"),
    # updates
    (update({}), "empty"),
    (update({"a": 1}), "operators"),
    (update({"$set": {"a": 1}, "b": 1}), "operators"),
    (update([{"$set": {"a": 1}}]), "object"),
    (update({"$evil": {"a": 1}}), "$evil"),
    (update({"$set": 1}), "$set"),
    (update({"$set": {"$a": 1}}), "$a"),
    (update({"$set": {"a.$b": 1}}), "$b"),
    (update({"$set": {"a.$[B]": 1}}), "$[B]"),
    (update({"$set": {"$[].a": 1}}), "start"),
    (update({"$set": {"a..b": 1}}), "empty part"),
    (update({"$set": {"": 1}}), "empty part"),
    (update({"$set": {"a": {"$b": 1}}}), "$b"),
    (update({"$set": {"a": [{"b": {"$c": 1}}]}}), "$c"),
    (update({"$set": {".".join("a" * 101): 1}}), "100 parts"),
    (update({"$inc": {"a": "1"}}), "number"),
    (update({"$inc": {"a": True}}), "number"),
    (update({"$rename": {"a": "$b"}}), "$b"),
    (update({"$rename": {"a": 1}}), "field"),
    (update({"$push": {"a": {"$each": 1}}}), "array"),
    (update({"$push": {"a": {"$each": [], "$evil": 1}}}), "$evil"),
    (update({"$push": {"a": {"$slice": 1}}}), "$slice"),
    (update({"$addToSet": {"a": {"$each": [], "$slice": 1}}}), "$slice"),
    (update({"$currentDate": {"a": 1}}), "object"),
    (update({"$currentDate": {"a": {"$type": "int"}}}), "timestamp"),
    (update({"$bit": {"a": {"nand": 1}}}), "nand"),
    (update({"$pullAll": {"a": 1}}), "array"),
    # documents
    (insert({"$a": 1}), "$a"),
    (insert({"a": {"b.c": 1}}), "b.c"),
    (insert({"a": [{"$b": 1}]}), "$b"),
    (insert({"a\0b": 1}), "NUL"),
    (replace({"$set": {"a": 1}}), "$set"),
    # stages
    (aggregate({}), "one key"),
    (aggregate({"$match": {}, "$limit": 1}), "one key"),
    (aggregate(1), "one key"),
    (aggregate({"$match": []}), "object"),
    (aggregate({"$limit": "5"}), "number"),
    (aggregate({"$limit": True}), "number"),
    (aggregate({"$sort": {"a": 2}}), "1 or -1"),
    (aggregate({"$sort": {}}), "empty"),
    (aggregate({"$group": {"a": {"$sum": 1}}}), "_id"),
    (aggregate({"$group": {"_id": 1, "a": 1}}), "accumulator"),
    (aggregate({"$group": {"_id": 1, "a": {"$sum": 1, "$avg": 1}}}), "accumulator"),
    (aggregate({"$unwind": "a"}), "$"),
    (aggregate({"$unwind": {"path": "$a", "x": 1}}), "x"),
    (aggregate({"$project": {"$a": 1}}), "$a"),
    (aggregate({"$project": {"a": {"$regexMatch": {"input": "$b", "regex": "$c"}}}}), "written out"),
    (aggregate({"$project": {"a": {"$regexFind": {"input": "$b", "regex": "(a+)+"}}}}), "regular"),
    (aggregate({"$project": {"a": {"$regexFind": {"input": 1, "regex": {"$concat": []}}}}}), "str"),
    (aggregate(*[{"$match": {}}] * 51), "50 stages"),
    (aggregate({"$facet": {str(n): [{"$limit": 1}] * 10 for n in range(5)}}), "50 stages"),
    (aggregate({"$facet": {}}), "empty"),
    (aggregate({"$facet": {"a": {}}}), "array"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "named"), REFUSED, ids=lambda each: str(each)[-70:])
def test_what_is_refused_by_name(command: DocumentCommand, named: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        check_command(command, LIMITS)
    assert named in caught.value.message
    assert len(caught.value.message) < 1000


FOREIGN: list[tuple[DocumentCommand, set[str]]] = [
    (aggregate({"$lookup": {"from": "b", "localField": "c", "foreignField": "d", "as": "e"}}), {"b"}),
    (aggregate({"$unionWith": "b"}, {"$unionWith": {"coll": "c"}}), {"b", "c"}),
    (aggregate({"$graphLookup": {"from": "b", "startWith": "$c", "connectFromField": "d",
                                 "connectToField": "e", "as": "f", "maxDepth": 3}}), {"b"}),
    (aggregate({"$facet": {"x": [{"$unionWith": "b"}], "y": [{"$lookup": {
        "from": "c", "as": "d", "pipeline": [{"$lookup": {"from": "e", "as": "f", "pipeline": [
            {"$unionWith": {"coll": "g", "pipeline": [{"$unionWith": "h"}]}}]}}]}}]}}),
     {"b", "c", "e", "g", "h"}),
    (aggregate({"$unionWith": "users"}), {"users"}),
    (aggregate({"$project": {"from": "b", "coll": "c"}}), set()),
]  # fmt: skip


@pytest.mark.parametrize(("command", "collections"), FOREIGN)
def test_the_other_collections_that_a_pipeline_reads(
    command: DocumentCommand, collections: set[str]
) -> None:
    assert check_command(command, LIMITS) == collections


NEVER = {"$where", "$function", "$accumulator", "$out", "$merge", "$currentOp", "db"}


def keys_of(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(keys_of(each) for each in value.values()))
    return set().union(*(keys_of(each) for each in value)) if isinstance(value, list) else set()


WORDS = st.sampled_from(
    """$and $or $nor $not $expr $where $in $all $elemMatch $regex $options $text $geoWithin $gt $set $inc
    $push $each $pull $bit $rename $currentDate $match $project $group $sort $facet $lookup $unionWith
    $graphLookup $unwind $count $bucket $limit $literal
    $function $accumulator $out $merge $regexMatch $cond $let $sum $meta
    $setWindowFields $replaceRoot $unset a b.c _id from coll pipeline as path input regex newRoot
    output window restrictSearchWithMatch startWith connectFromField connectToField""".split()  # noqa: SIM905
) | st.text(max_size=3)
WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=15,
)  # fmt: skip


@given(
    st.sampled_from(list(Verb)),
    st.dictionaries(WORDS, WILD, max_size=3),
    st.lists(st.dictionaries(WORDS, WILD, min_size=1, max_size=1), max_size=3),
)
@settings(max_examples=500, deadline=None)
def test_wild_values_pass_or_give_a_typed_error(verb: Verb, value: Any, stages: Any) -> None:
    params: dict[str, Any] = {
        "command": verb.value,
        "collection": "users",
        "name": "users",
        "newName": "b",
    }
    params |= dict.fromkeys(("query", "filter", "doc", "replacement", "update", "field"), value)
    params |= {"docs": [value], "pipeline": stages, "key": "a", "dropIndex": "a"}
    params |= {"options": {"arrayFilters": [value]}}
    if verb in (Verb.COMMIT_TRANSACTION, Verb.ABORT_TRANSACTION):
        params["transactionId"] = "tx-1"
    try:
        foreign = check_command(parse_command(params), LIMITS)
    except (DatabaseError, InvalidParameterError):
        return
    arguments = parse_command(params).arguments
    assert not NEVER & keys_of(arguments)
    assert all(repr(name) in repr(arguments["pipeline"]) for name in foreign)
