from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.documents.errors import BAD_VALUE, DatabaseError
from runtime.documents.expressions import Owners
from runtime.documents.hidden import INSERTED_FIELD, OWNER_FIELD
from runtime.documents.owned_pipelines import foreign_collections
from runtime.documents.owner import (
    PermissionDeniedError,
    answers_nothing,
    asked_verb,
    for_client,
    for_trusted,
    under_decision,
)
from runtime.documents.rules import ALLOW, REFUSE, Decision, Rules, policy_of
from runtime.errors import CallerError
from runtime.messages import ADMINISTRATION, DocumentCommand, PolicyName, Verb

ME = "me"
MINE = Decision(Owners(frozenset({ME})))
OWN = {OWNER_FIELD: {"$eq": ME}}
REMOVED = {"$unset": OWNER_FIELD}
OWNER_OR_NULL = {"$ifNull": [f"${OWNER_FIELD}", None]}
BARRIER = {"$limit": 2**31 - 1}
RULES = Rules.of(
    {
        "private": policy_of(PolicyName.PRIVATE),
        "shared": policy_of(PolicyName.PUBLICREAD),
        "news": policy_of(PolicyName.ADMINWRITEONLY),
        "secret": policy_of(PolicyName.ADMINREADWRITEONLY),
    }
)


def make(verb: Verb, collection: str = "c", **arguments: Any) -> DocumentCommand:
    options: dict[str, Any] = arguments.pop("options", {})
    return DocumentCommand(verb=verb, collection=collection, arguments=arguments, options=options)


def piped(*stages: Any, collection: str = "shared") -> DocumentCommand:
    return make(Verb.AGGREGATE, collection, pipeline=list(stages))


def stages_for(decision: Decision, *stages: Any) -> Any:
    return under_decision(piped(*stages), decision, ME).arguments["pipeline"]


def test_the_condition_stands_beside_the_filter() -> None:
    command = make(Verb.UPDATE_ONE, filter={"arr": 2, "$or": []}, update={"$set": {"arr.$": 9}})
    assert under_decision(command, MINE, ME).arguments["filter"] == {**OWN, "arr": 2, "$or": []}
    assert under_decision(make(Verb.FIND), MINE, ME).arguments["query"] == OWN


def test_the_condition_wins_even_unchecked() -> None:
    command = make(Verb.FIND, query={OWNER_FIELD: "foe"})
    assert under_decision(command, MINE, ME).arguments["query"] == OWN


def test_inserts_and_upserts_are_stamped() -> None:
    inserted = under_decision(make(Verb.INSERT_MANY, docs=[{"a": 1}]), ALLOW, ME)
    assert inserted.arguments["docs"] == [{"a": 1, OWNER_FIELD: ME}]
    update = {"$set": {"a": 1}, "$setOnInsert": {"b": 2}}
    command = make(Verb.UPDATE_ONE, filter={}, update=update, options={"upsert": True})
    stamped = under_decision(command, MINE, ME).arguments["update"]
    assert stamped == {"$set": {"a": 1}, "$setOnInsert": {"b": 2, OWNER_FIELD: ME}}
    assert update["$setOnInsert"] == {"b": 2}


def test_a_replacement_of_an_own_document_stays_one() -> None:
    command = make(Verb.REPLACE_ONE, filter={"_id": "x"}, doc={"a": 1})
    replaced = under_decision(command, MINE, ME)
    assert replaced.verb is Verb.REPLACE_ONE
    assert replaced.arguments == {"filter": {**OWN, "_id": "x"}, "doc": {"a": 1, OWNER_FIELD: ME}}


@pytest.mark.parametrize(
    ("verb", "name", "becomes"),
    [
        (Verb.REPLACE_ONE, "doc", Verb.UPDATE_ONE),
        (Verb.FIND_ONE_AND_REPLACE, "replacement", Verb.FIND_ONE_AND_UPDATE),
    ],
)
def test_other_replacements_copy_the_owner(verb: Verb, name: str, becomes: Verb) -> None:
    arguments: dict[str, Any] = {"filter": {"k": 1}, name: {"a": "$$ROOT"}}
    command = make(verb, **arguments, options={"upsert": True})
    replaced = under_decision(command, ALLOW, ME)
    assert replaced.verb is becomes
    assert name not in replaced.arguments
    assert replaced.arguments["filter"] == {INSERTED_FIELD: None, "k": 1}
    ((stage,),) = [each.values() for each in replaced.arguments["update"]]
    assert stage["$mergeObjects"][:2] == [{"_id": "$_id"}, {"$literal": {"a": "$$ROOT"}}]
    assert replaced.options == {"upsert": True}


@pytest.mark.parametrize(
    "command",
    [
        make(Verb.UPDATE_ONE, filter={}, update=[{"$set": {"a": 1}}]),
        make(Verb.UPDATE_MANY, filter={}, update={"a": 1}),
        make(Verb.FIND_ONE_AND_UPDATE, filter={}, update={"$set": {}, "a": 1}),
        make(Verb.UPDATE_ONE, filter={}, update={"$setOnInsert": 1}, options={"upsert": True}),
        make(Verb.REPLACE_ONE, filter={}, doc={"$set": {"a": 1}}),
        make(Verb.FIND_ONE_AND_REPLACE, filter={}, replacement=[{"$set": {"a": 1}}]),
        make(Verb.FIND, query=[]),
        piped({"$match": {}, "$limit": 1}),
        piped("$match"),
        make(Verb.AGGREGATE, pipeline={}),
        make(Verb.AGGREGATE, pipeline=[], options={"collation": {"locale": "en", "strength": 1}}),
        make(Verb.AGGREGATE, pipeline=[], options={"explain": True}),
    ],
    ids=str,
)
def test_what_could_go_round_the_condition_is_refused(command: DocumentCommand) -> None:
    with pytest.raises(DatabaseError) as refused:
        under_decision(command, MINE, ME)
    assert refused.value.number == BAD_VALUE


def test_new_documents_have_to_fulfil_the_rule() -> None:
    of_others = Decision(~Owners(frozenset({ME})))
    upsert = make(Verb.UPDATE_ONE, filter={}, update={"$set": {}}, options={"upsert": True})
    for command in (make(Verb.INSERT_ONE, doc={}), upsert):
        with pytest.raises(PermissionDeniedError, match="not be the caller's own"):
            under_decision(command, of_others, ME)
        with pytest.raises(PermissionDeniedError):
            under_decision(command, MINE, None)


def test_only_stages_that_choose_stand_before_the_removal() -> None:
    chosen = {"$match": {"a": 1}}
    computed = {"$match": {"$expr": {"$eq": ["$$ROOT", 1]}}}
    sort, shown = {"$sort": {"a": 1}}, {"$project": {"x": "$$ROOT"}}
    own = {"$match": OWN}
    assert stages_for(MINE) == [own, REMOVED]
    assert stages_for(MINE, shown, chosen) == [own, REMOVED, shown, chosen]
    assert stages_for(MINE, chosen, sort, shown) == [
        {"$match": {**OWN, "a": 1}},
        sort,
        REMOVED,
        shown,
    ]
    assert stages_for(MINE, sort, chosen) == [own, sort, chosen, REMOVED]
    assert stages_for(MINE, computed, chosen) == [own, BARRIER, REMOVED, computed, chosen]
    assert stages_for(MINE, shown, computed) == [own, BARRIER, REMOVED, shown, computed]
    assert stages_for(ALLOW, chosen, computed) == [chosen, REMOVED, computed]
    schema: dict[str, Any] = {"$match": {"$or": [{"$jsonSchema": {}}]}}
    assert stages_for(ALLOW, schema) == [REMOVED, schema]


def test_geo_near_stays_first_and_takes_the_condition_in() -> None:
    near = {"$geoNear": {"near": [0, 0], "query": {"a": 1}, "distanceField": "d"}}
    first, second = stages_for(MINE, near)
    assert first["$geoNear"]["query"] == {**OWN, "a": 1}
    assert second == REMOVED
    blind = {"$geoNear": {"query": {"$expr": {"$eq": ["$$ROOT", 1]}}}}
    with pytest.raises(DatabaseError, match="could show hidden"):
        stages_for(ALLOW, blind)


def test_joins_remove_the_owners_of_others() -> None:
    plain = {"$lookup": {"from": "news", "localField": "a", "foreignField": "b", "as": "x.y"}}
    deep = {"$lookup": {"from": "news", "pipeline": [{"$match": {"b": 1}}, plain], "as": "x"}}
    made = stages_for(ALLOW, {"$facet": {"f": [deep, {"$unionWith": "news"}]}})
    inner, union = made[1]["$facet"]["f"]
    assert inner["$lookup"]["pipeline"][:2] == [{"$match": {"b": 1}}, REMOVED]
    assert inner["$lookup"]["pipeline"][2]["$lookup"] == {**plain["$lookup"], "pipeline": [REMOVED]}
    assert union == {"$unionWith": {"coll": "news", "pipeline": [REMOVED]}}


def test_made_documents_stay_the_first_stage() -> None:
    made = [{"$documents": [{"a": 1}]}, {"$unionWith": "news"}]
    (_, joined) = stages_for(ALLOW, {"$lookup": {"pipeline": made, "as": "x"}})
    assert joined["$lookup"]["pipeline"][0] == made[0]
    assert joined["$lookup"]["pipeline"][1]["$unionWith"]["pipeline"] == [REMOVED]
    assert foreign_collections([joined]) == {"news"}


def test_graph_lookups_take_the_owners_out_afterwards() -> None:
    graph = {"from": "news", "startWith": "$a", "as": "x"}
    made = stages_for(ALLOW, {"$graphLookup": graph})
    assert made[:2] == [REMOVED, {"$graphLookup": graph}]
    assert list(made[2]["$addFields"]) == ["x"]
    for wrong in (
        {**graph, "as": "x.y"},
        {**graph, "as": None},
        {**graph, "restrictSearchWithMatch": {"$expr": "$$ROOT"}},
        {**graph, "restrictSearchWithMatch": {"$jsonSchema": {}}},
    ):
        with pytest.raises(DatabaseError):
            stages_for(ALLOW, {"$graphLookup": wrong})


JOINS: list[Any] = [
    {"$lookup": {"from": "%", "localField": "a", "foreignField": "a", "as": "x"}},
    {"$lookup": {"from": "%", "pipeline": [], "as": "x"}},
    {"$lookup": {"from": "news", "pipeline": [{"$unionWith": "%"}], "as": "x"}},
    {"$lookup": {"pipeline": [{"$documents": []}, {"$unionWith": "%"}], "as": "x"}},
    {"$unionWith": "%"},
    {"$unionWith": {"coll": "%"}},
    {"$unionWith": {"coll": "news", "pipeline": [{"$facet": {"f": [{"$unionWith": "%"}]}}]}},
    {"$facet": {"f": [{"$match": {}}, {"$unionWith": "%"}]}},
    {"$graphLookup": {"from": "%", "startWith": "$a", "as": "x"}},
]


def naming(stage: Any, collection: str) -> Any:
    if isinstance(stage, dict):
        return {key: naming(each, collection) for key, each in stage.items()}
    if isinstance(stage, list):
        return [naming(each, collection) for each in stage]
    return collection if stage == "%" else stage


@pytest.mark.parametrize("join", JOINS, ids=str)
def test_clients_join_only_what_everybody_reads(join: Any) -> None:
    for readable in ("news", "shared"):
        for_client(piped(naming(join, readable)), RULES, ME)
    for closed in ("private", "secret", "without a rule"):
        with pytest.raises(PermissionDeniedError, match=closed):
            for_client(piped(naming(join, closed)), RULES, ME)
    for_trusted(piped(naming(join, "secret")))


@pytest.mark.parametrize(
    "stage",
    [
        {"$unionWith": {"coll": {"db": "x", "coll": "y"}}},
        {"$lookup": {"from": {"db": "x", "coll": "y"}, "as": "x"}},
        {"$lookup": {"from": None, "pipeline": [], "as": "x"}},
        {"$lookup": "news"},
        {"$unionWith": 1},
        {"$unionWith": ""},
        {"$graphLookup": {"as": "x"}},
    ],
    ids=str,
)
def test_joins_of_no_collection_are_refused(stage: Any) -> None:
    with pytest.raises(CallerError):
        for_client(piped(stage), RULES, ME)


def test_clients_write_by_no_aggregation() -> None:
    for stage in (
        {"$out": "news"},
        {"$merge": {"into": "news"}},
        {"$facet": {"f": [{"$out": "x"}]}},
    ):
        with pytest.raises(PermissionDeniedError, match="in an aggregation"):
            for_client(piped(stage), RULES, ME)


@pytest.mark.parametrize("verb", sorted(set(Verb)))
def test_who_may_do_what(verb: Verb) -> None:
    arguments: dict[str, Any] = {
        "pipeline": [],
        "doc": {},
        "docs": [{}],
        "replacement": {},
        "update": {"$set": {}},
        "filter": {},
        "query": {},
        "key": "a",
    }
    name = verb.value
    if "Transaction" in name:
        command = make(verb)
        assert for_client(command, Rules({}), None) is command
        assert for_trusted(command) is command
        return
    command = make(verb, "secret", **arguments)
    with pytest.raises(PermissionDeniedError, match="'secret'") as refused:
        for_client(command, RULES, ME)
    assert refused.value.code == "PermissionDenied"
    with pytest.raises(PermissionDeniedError):
        for_client(command, Rules({}), ME)
    for_trusted(command)
    if verb in ADMINISTRATION:
        return
    own = make(verb, "private", **arguments)
    assert ME in str(for_client(own, RULES, ME).arguments)
    with pytest.raises(PermissionDeniedError):
        for_client(own, RULES, None)


def test_a_refusal_refuses_whatever_comes() -> None:
    with pytest.raises(PermissionDeniedError):
        under_decision(make(Verb.FIND), REFUSE, ME)


def test_clients_and_functions_cannot_name_the_owner() -> None:
    command = make(Verb.FIND, "news", query={OWNER_FIELD: ME})
    with pytest.raises(DatabaseError):
        for_client(command, RULES, ME)
    with pytest.raises(DatabaseError):
        for_trusted(command)


def test_a_trusted_caller_inserts_for_the_user_it_names() -> None:
    command = make(Verb.INSERT_ONE, doc={"a": 1})
    assert for_trusted(command).arguments["doc"] == {"a": 1}
    assert for_trusted(command, ME).arguments["doc"] == {"a": 1, OWNER_FIELD: ME}


OF_OWNERS = "request.auth.userId == resource.auth.userId"
RETURNING = [
    make(Verb.FIND_ONE_AND_UPDATE, filter={}, update={"$set": {"a": 1}}),
    make(Verb.FIND_ONE_AND_REPLACE, filter={}, replacement={"a": 1}),
    make(Verb.FIND_ONE_AND_DELETE, filter={}),
]


def ruled(read: Any, write: Any) -> Rules:
    rule = json.dumps({".read": read, ".write": write})
    return Rules.of({"c": policy_of(PolicyName.EXTENDED, rule)})


@pytest.mark.parametrize("command", RETURNING, ids=lambda each: each.verb)
def test_a_write_that_answers_a_document_keeps_to_what_may_be_read(
    command: DocumentCommand,
) -> None:
    for read, write in ((OF_OWNERS, True), (True, OF_OWNERS), (OF_OWNERS, OF_OWNERS)):
        rules = ruled(read, write)
        assert for_client(command, rules, ME).arguments["filter"] == OWN
        assert not answers_nothing(command, rules, ME)
    rules = ruled(True, True)
    assert OWNER_FIELD not in str(for_client(command, rules, ME).arguments["filter"])
    assert not answers_nothing(command, rules, ME)


@pytest.mark.parametrize("command", RETURNING, ids=lambda each: each.verb)
def test_the_rule_of_writes_alone_decides_about_a_write(command: DocumentCommand) -> None:
    rules = ruled(False, True)
    assert OWNER_FIELD not in str(for_client(command, rules, ME).arguments["filter"])
    assert answers_nothing(command, rules, ME)
    rules = ruled(OF_OWNERS, "request.auth.userId != resource.auth.userId")
    assert for_client(command, rules, ME).arguments["filter"] == {OWNER_FIELD: {"$ne": ME}}
    assert answers_nothing(command, rules, ME)
    with pytest.raises(PermissionDeniedError, match="write"):
        for_client(command, ruled(True, False), ME)


def test_other_writes_have_nothing_to_do_with_reading() -> None:
    command = make(Verb.UPDATE_ONE, filter={}, update={"$set": {"a": 1}})
    for read in (False, OF_OWNERS):
        assert for_client(command, ruled(read, True), ME).arguments["filter"] == {}
        assert not answers_nothing(command, ruled(read, True), ME)


def test_messages_name_the_verb_that_was_asked() -> None:
    for verb, name in ((Verb.REPLACE_ONE, "doc"), (Verb.FIND_ONE_AND_REPLACE, "replacement")):
        arguments: dict[str, Any] = {"filter": {}, name: {"a": 1}}
        command = make(verb, **arguments)
        for decision in (ALLOW, MINE):
            assert asked_verb(under_decision(command, decision, ME)) is verb
    update = make(Verb.UPDATE_ONE, filter={}, update={"$set": {"a": 1}})
    assert asked_verb(under_decision(update, ALLOW, ME)) is Verb.UPDATE_ONE
    assert asked_verb(make(Verb.COUNT, query={})) is Verb.COUNT


def test_no_expression_is_computed_for_documents_of_others() -> None:
    failing = {"$toInt": "$secret"}
    guarded = {"$cond": [{"$in": [OWNER_OR_NULL, {"$literal": [ME]}]}, failing, False]}
    query = {
        "$or": [{"$expr": failing}, {"$and": [{"a": {"$gt": 1}}, {"$nor": [{"$expr": failing}]}]}]
    }
    assert under_decision(make(Verb.COUNT, query=query), MINE, ME).arguments["query"] == {
        **OWN,
        "$or": [
            {"$expr": guarded},
            {"$and": [{"a": {"$gt": 1}}, {"$nor": [{"$expr": guarded}]}]},
        ],
    }
    command = make(Verb.DELETE_MANY, filter={"$expr": failing})
    assert under_decision(command, ALLOW, ME).arguments["filter"] == {"$expr": failing}


@pytest.mark.parametrize(
    ("owners", "seen"),
    [
        (Owners(frozenset({ME})), {"$in": [OWNER_OR_NULL, {"$literal": [ME]}]}),
        (~Owners(frozenset({ME})), {"$not": [{"$in": [OWNER_OR_NULL, {"$literal": [ME]}]}]}),
        (Owners(frozenset({ME, None})), {"$in": [OWNER_OR_NULL, {"$literal": [None, ME]}]}),
        (
            ~Owners(frozenset({ME, None})),
            {"$not": [{"$in": [OWNER_OR_NULL, {"$literal": [None, ME]}]}]},
        ),
    ],
    ids=["me", "not me", "me or nobody", "neither me nor nobody"],
)
def test_the_guard_means_what_the_rule_means(owners: Owners, seen: Any) -> None:
    command = make(Verb.FIND, query={"$expr": True})
    query = under_decision(command, Decision(owners), ME).arguments["query"]
    assert query["$expr"] == {"$cond": [seen, True, False]}
