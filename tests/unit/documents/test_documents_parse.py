"""Parameters become commands with the types of the spec; wrong ones are refused and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.documents.errors import (
    BAD_VALUE,
    INVALID_NAMESPACE,
    NO_SUCH_TRANSACTION,
    OPERATION_NOT_IN_TRANSACTION,
    TYPE_MISMATCH,
    DatabaseError,
)
from runtime.documents.options import ARGUMENTS, OPTIONS
from runtime.documents.parse import parse_command, parse_management
from runtime.errors import InvalidParameterError
from runtime.messages.documents import IN_TRANSACTION, DocumentCommand, Verb

# What the SDKs sent when they were recorded (spec: database commands §4).
CAPTURED = """
{"collection":"users","doc":{"_id":"5f00000000000000000000a1","nan":null},"options":{},"command":"insertOne"}
{"collection":"users","docs":[{"name":"jerry"},{"name":"spike"}],"options":{},"command":"insertMany"}
{"collection":"users","options":{},"command":"find"}
{"collection":"users","query":{"age":{"$gt":5}},"options":{"projection":{"name":1},"sort":{"name":1},"skip":0,"limit":10,"maxTimeMS":1000,"hint":{"name":1}},"command":"find"}
{"collection":"users","query":{"name":"tom"},"options":{},"command":"findOne"}
{"collection":"users","query":{"age":{"$gt":15}},"options":{"limit":5,"skip":0},"command":"count"}
{"collection":"users","key":"name","query":{"age":{"$gt":5}},"options":{},"command":"distinct"}
{"collection":"users","pipeline":[{"$match":{"age":{"$gt":5}}}],"options":{"allowDiskUse":true},"command":"aggregate"}
{"collection":"users","filter":{"_id":"5f"},"update":{"$set":{"age":21}},"options":{},"command":"updateOne"}
{"collection":"users","filter":{"age":1},"update":{"$set":{"adult":true}},"options":{},"command":"updateMany"}
{"collection":"users","filter":{"name":"jerry"},"doc":{"age":11},"options":{"upsert":true},"command":"replaceOne"}
{"collection":"users","filter":{},"update":{"$inc":{"age":1}},"options":{"sort":{"age":-1},"upsert":false,"projection":{"age":1},"returnNewDocument":true},"command":"findOneAndUpdate"}
{"collection":"users","filter":{"name":"spike"},"replacement":{"age":2},"options":{},"command":"findOneAndReplace"}
{"collection":"users","filter":{"name":"spike"},"options":{"sort":{"age":1}},"command":"findOneAndDelete"}
{"collection":"users","filter":{"_id":"5f"},"options":{},"command":"deleteOne"}
{"collection":"users","filter":{},"options":{},"command":"deleteMany"}
{"options":{},"command":"startTransaction"}
{"collection":"users","transactionId":"tx-1","doc":{"name":"tx"},"options":{},"command":"insertOne"}
{"collection":"users","transactionId":"tx-1","options":{},"command":"commitTransaction"}
{"collection":"users","transactionId":"tx-1","options":{},"command":"abortTransaction"}
""".strip().splitlines()


@pytest.mark.parametrize("text", CAPTURED)
def test_what_the_sdks_send_is_taken_as_it_is(text: str) -> None:
    params = json.loads(text)
    command = parse_command(params)
    assert command.verb.value == params["command"]
    assert command.transaction_id == params.get("transactionId")
    assert command.options == params["options"]
    names = ARGUMENTS.get(command.verb, {})
    given = {key: value for key, value in params.items() if key in names}
    assert command.arguments == ({"query": {}} | given if "query" in names else given)
    ends = command.verb in (Verb.COMMIT_TRANSACTION, Verb.ABORT_TRANSACTION)
    assert command.collection == ("" if ends else params.get("collection", ""))
    assert parse_management(text) == command


SAMPLES: dict[Any, Any] = {
    "pipeline": [],
    "key": "a",
    "docs": [{}],
    "update": {"$set": {"a": 1}},
    "field": {"a": 1},
    "dropIndex": "a_1",
    "newName": "other",
    "name": "users",
}


def params_of(verb: Verb, **more: Any) -> dict[str, Any]:
    needed = {key: SAMPLES[key] for key in ARGUMENTS.get(verb, {}) if key in SAMPLES}
    return {"collection": "users", "name": "users", "newName": "b", "command": verb.value} | {
        **({"transactionId": "tx-1"} if verb.value.endswith("tTransaction") else {}),
        **needed,
        **more,
    }


def refused(params: dict[str, Any], number: int) -> str:
    with pytest.raises(DatabaseError) as caught:
        parse_command(params)
    assert caught.value.number == number
    return caught.value.message


@pytest.mark.parametrize("verb", list(Verb))
def test_older_sdks_leave_out_empty_objects(verb: Verb) -> None:
    command = parse_command(params_of(verb))
    assert command.verb is verb
    assert command.options == {}
    for key in ("query", "filter", "doc", "replacement"):
        assert command.arguments.get(key, {}) == {}
        assert (key in command.arguments) == (key in ARGUMENTS.get(verb, {}))


WRONG: dict[str, list[Any]] = {
    "integer": ["1", -1, 1.5, True, None, {}, [], 10**30],
    "boolean": [0, 1, "true", None, {}],
    "sort": [1, "a", [], None, {"a": 2}, {"a": "1"}, {"a": True}, {"$a": 1}, {"a.$b": 1}, {"": 1}],
    "projection": [1, [], None, {"a": -1}, {"a": {"$slice": 1}}, {"a": "$b"}, {"$a": 1}],
    "hint": ["a_1", 1, None, {"a": {}}, {"$natural": 1}],
    "collation": ["zh", None, {}, {"locale": 1}, {"locale": "zh", "strength": "1"}],
    "mappings": [{}, None, "a", [1], [None], [[]]],
    "index_name": [1, None, "", "a\0", "a" * 128],
}
OPTION_CASES: list[tuple[Verb, str, Any]] = [
    (verb, name, value)
    for verb, checks in OPTIONS.items()
    for name, check in checks.items()
    for value in WRONG[name if name in WRONG else getattr(check, "__name__", "")]
]


@pytest.mark.parametrize(("verb", "name", "value"), OPTION_CASES)
def test_options_of_wrong_types_are_refused_by_name(verb: Verb, name: str, value: Any) -> None:
    with pytest.raises(DatabaseError) as caught:
        parse_command(params_of(verb, options={name: value}))
    assert caught.value.number in (TYPE_MISMATCH, BAD_VALUE)
    assert name in caught.value.message
    assert "users" in caught.value.message


@pytest.mark.parametrize("verb", list(Verb))
def test_unknown_options_and_arguments_are_ignored(verb: Verb) -> None:
    command = parse_command(params_of(verb, options={"uploadTime": -1, "x": {}}, other=1))
    assert command.options == {}
    assert "other" not in command.arguments
    assert parse_command(params_of(verb, options=None)).options == {}


@pytest.mark.parametrize("options", ["{}", [], 1, True])
def test_options_must_be_an_object(options: Any) -> None:
    assert "users" in refused(params_of(Verb.FIND, options=options), TYPE_MISMATCH)


WRONG_ARGUMENTS: list[tuple[Verb, str, Any, int]] = [
    *[
        (verb, key, value, TYPE_MISMATCH)
        for verb, checks in ARGUMENTS.items()
        for key in checks
        if key in ("query", "filter", "doc", "replacement", "update")
        for value in (None, 1, "a", list[Any](), True)
    ],
    (Verb.UPDATE_ONE, "update", {}, BAD_VALUE),
    (Verb.UPDATE_MANY, "update", [{"$set": {"a": 1}}], TYPE_MISMATCH),
    (Verb.INSERT_MANY, "docs", [], BAD_VALUE),
    (Verb.INSERT_MANY, "docs", {}, TYPE_MISMATCH),
    (Verb.INSERT_MANY, "docs", [1], TYPE_MISMATCH),
    (Verb.AGGREGATE, "pipeline", {}, TYPE_MISMATCH),
    (Verb.DISTINCT, "key", 1, TYPE_MISMATCH),
    (Verb.DISTINCT, "key", "", BAD_VALUE),
    (Verb.DISTINCT, "key", "$a", BAD_VALUE),
    (Verb.DISTINCT, "key", "a." * 100 + "a", BAD_VALUE),
    (Verb.CREATE_INDEX, "field", {}, BAD_VALUE),
    (Verb.CREATE_INDEX, "field", {"a": "text"}, TYPE_MISMATCH),
    (Verb.CREATE_INDEX, "field", ["a"], TYPE_MISMATCH),
    (Verb.DROP_INDEX, "dropIndex", {"a": 1}, TYPE_MISMATCH),
]


@pytest.mark.parametrize(("verb", "key", "value", "number"), WRONG_ARGUMENTS)
def test_arguments_of_wrong_types_are_refused_by_name(
    verb: Verb, key: str, value: Any, number: int
) -> None:
    message = refused(params_of(verb, **{key: value}), number)
    assert key in message
    assert "users" in message


@pytest.mark.parametrize("key", ["pipeline", "key", "docs", "update", "field", "dropIndex"])
def test_what_is_needed_and_missing_is_named(key: str) -> None:
    for verb in (verb for verb, checks in ARGUMENTS.items() if key in checks):
        params = params_of(verb)
        del params[key]
        assert f"{key} of {verb.value} on collection users" in refused(params, TYPE_MISMATCH)


@pytest.mark.parametrize(
    "name",
    [
        *(None, 1, {}, "", "a$b", "$cmd", "a\0b", "system.users", "system.", ".a", "a.", "a..b"),
        *("a" * 121, "表" * 41, "\ud800", {"db": "x", "coll": "y"}),
    ],
)
def test_names_of_collections_that_are_refused(name: Any) -> None:
    refused(params_of(Verb.FIND, collection=name), INVALID_NAMESPACE)
    refused(params_of(Verb.CREATE_COLLECTION, name=name), INVALID_NAMESPACE)
    refused(params_of(Verb.RENAME_COLLECTION, newName=name), INVALID_NAMESPACE)


@pytest.mark.parametrize("name", ["a", "a.b", "systems", "用户", "a" * 120, "a b", "*"])
def test_names_of_collections_that_pass(name: str) -> None:
    assert parse_command(params_of(Verb.FIND, collection=name)).collection == name


def test_transactions() -> None:
    for verb in Verb:
        if verb in IN_TRANSACTION:
            assert parse_command(params_of(verb, transactionId="tx-a")).transaction_id == "tx-a"
            assert parse_command(params_of(verb, transactionId=None)).transaction_id is None
    refused(params_of(Verb.FIND, transactionId="tx-a"), OPERATION_NOT_IN_TRANSACTION)
    refused(params_of(Verb.DROP_COLLECTION, transactionId="tx-a"), OPERATION_NOT_IN_TRANSACTION)
    refused(params_of(Verb.FIND_ONE, transactionId=1), TYPE_MISMATCH)
    refused(params_of(Verb.FIND_ONE, transactionId=""), BAD_VALUE)
    refused(params_of(Verb.FIND_ONE, transactionId="x" * 257), BAD_VALUE)
    refused({"command": "commitTransaction"}, NO_SUCH_TRANSACTION)
    refused({"command": "abortTransaction", "transactionId": None}, NO_SUCH_TRANSACTION)


@pytest.mark.parametrize("name", [None, 1, [], {}, "", "FIND", "mapReduce", "eval", "x\ud800"])
def test_unknown_commands(name: Any) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        parse_command({"command": name, "collection": "a"})
    assert caught.value.parameter == "command"


def test_whole_numbers_of_other_clients_become_integers() -> None:
    options = {"limit": 5.0, "sort": {"a": -1.0}, "projection": {"a": 0.0}}
    command = parse_command(params_of(Verb.FIND, options=options))
    assert repr(command.options) == repr({"limit": 5, "sort": {"a": -1}, "projection": {"a": 0}})


MANAGEMENT: list[tuple[dict[str, Any], DocumentCommand]] = [
    ({"command": "collections"}, DocumentCommand(verb=Verb.COLLECTIONS)),
    (
        {"command": "createCollection", "name": "a"},
        DocumentCommand(verb=Verb.CREATE_COLLECTION, collection="a"),
    ),
    (
        {"command": "create", "collection": "a"},
        DocumentCommand(verb=Verb.CREATE_COLLECTION, collection="a"),
    ),
    (
        {"command": "create", "name": "a"},
        DocumentCommand(verb=Verb.CREATE_COLLECTION, collection="a"),
    ),
    (
        {"command": "rename", "collection": "a", "newName": "b"},
        DocumentCommand(verb=Verb.RENAME_COLLECTION, collection="a", arguments={"newName": "b"}),
    ),
    (
        {"command": "drop", "collection": "a"},
        DocumentCommand(verb=Verb.DROP_COLLECTION, collection="a"),
    ),
    (
        {"command": "listIndexes", "collection": "a"},
        DocumentCommand(verb=Verb.LIST_INDEXES, collection="a"),
    ),
    (
        {"command": "createIndex", "collection": "a", "field": "x", "options": {"unique": True}},
        DocumentCommand(
            verb=Verb.CREATE_INDEX,
            collection="a",
            arguments={"field": {"x": 1}},
            options={"unique": True},
        ),
    ),
    (
        {"command": "createIndexes", "collection": "a", "fields": {"x": 1, "y": -1}},
        DocumentCommand(
            verb=Verb.CREATE_INDEX, collection="a", arguments={"field": {"x": 1, "y": -1}}
        ),
    ),
    (
        {"command": "dropIndex", "collection": "a", "dropIndex": "x_1"},
        DocumentCommand(verb=Verb.DROP_INDEX, collection="a", arguments={"dropIndex": "x_1"}),
    ),
    (
        {"command": "dropIndex", "collection": "a", "indexName": "x_1"},
        DocumentCommand(verb=Verb.DROP_INDEX, collection="a", arguments={"dropIndex": "x_1"}),
    ),
    (
        {"command": "dropIndexes", "collection": "a"},
        DocumentCommand(verb=Verb.DROP_INDEX, collection="a", arguments={"dropIndex": "*"}),
    ),
]


@pytest.mark.parametrize(("body", "command"), MANAGEMENT)
def test_management_commands_old_names_too(body: dict[str, Any], command: DocumentCommand) -> None:
    assert parse_management(json.dumps(body)) == command


@pytest.mark.parametrize(
    "body", ["", "x", "[]", "null", '"find"', "[" * 5000, "{" * 5000, "\ud800"]
)
def test_bodies_that_are_no_object(body: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        parse_management(body)
    assert caught.value.parameter == "Body"


KEYS = st.sampled_from(
    [
        *sorted({key for table in (ARGUMENTS, OPTIONS) for each in table.values() for key in each}),
        *("options", "transactionId", "indexName", "fields"),
    ]
) | st.text(max_size=4)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(
    st.sampled_from([*(verb.value for verb in Verb), "create", "createIndexes", "dropIndexes"]),
    st.sampled_from(["users", "a.b"]) | JSON,
    st.dictionaries(KEYS, JSON, max_size=6),
)
@settings(max_examples=400, deadline=None)
def test_wild_parameters_give_a_command_or_a_typed_error(
    command: str, collection: Any, more: dict[str, Any]
) -> None:
    params = {"command": command, "collection": collection, "name": collection, **more}
    calls: list[Callable[[], DocumentCommand]] = [
        lambda: parse_command(params),
        lambda: parse_management(json.dumps(params)),
    ]
    for call in calls:
        try:
            parsed = call()
        except (DatabaseError, InvalidParameterError):
            continue
        assert set(parsed.arguments) <= {*ARGUMENTS.get(parsed.verb, {}), "newName"}
        assert set(parsed.options) <= set(OPTIONS.get(parsed.verb, {}))
