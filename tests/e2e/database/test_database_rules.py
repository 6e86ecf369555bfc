"""Access rules, as apps meet them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import RunSdk
from tests.harness.database_sdk import codes, counts, deploy, set_rule, values
from tests.harness.management import Management

pytestmark = pytest.mark.e2e


Client = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def ruled(management: Management) -> tuple[str, str]:
    """A space without any rule."""
    return management.space("e2e-db-rules")


@pytest.fixture
def client(run_sdk: RunSdk, ruled: tuple[str, str]) -> Client:
    """Steps of clients of that space; each name after "as" is another user."""

    def client(*steps: list[Any]) -> list[dict[str, Any]]:
        keys = {"spaceId": ruled[0], "clientSecret": ruled[1]}
        return run_sdk("database.cjs", sdk="client", steps=list(steps), **keys)

    return client


READS: list[list[Any]] = [
    ["find", {}],
    ["findOne", {}],
    ["count", {}],
    ["distinct", "n", {}],
    ["aggregate", [{"$match": {}}]],
]
WRITES: list[list[Any]] = [
    ["insertOne", {"n": 1}],
    ["insertMany", [{"n": 1}]],
    ["updateOne", {}, {"$set": {"n": 9}}],
    ["updateMany", {}, {"$set": {"n": 9}}],
    ["updateOne", {"n": 77}, {"$set": {"n": 9}}, {"upsert": True}],
    ["replaceOne", {}, {"n": 9}],
    ["findOneAndUpdate", {}, {"$set": {"n": 9}}],
    ["findOneAndReplace", {}, {"n": 9}],
    ["findOneAndDelete", {}],
    ["deleteOne", {}],
    ["deleteMany", {}],
]


def on(collection: str, calls: list[list[Any]]) -> list[list[Any]]:
    return [["on", collection, *each] for each in calls]


def test_clients_may_nothing_by_default(client: Client) -> None:
    results = client(*on("notes", READS), *on("notes", WRITES))
    assert set(codes(results)) == {"PermissionDenied"}
    assert all("'notes'" in each["error"]["message"] for each in results)


def test_a_refused_collection_is_refused_in_transactions_and_joins(
    client: Client, management: Management, ruled: tuple[str, str]
) -> None:
    set_rule(management, ruled[0], "open", "EXTENDED", {".read": True, ".write": True})
    lookup = {"from": "closed", "localField": "n", "foreignField": "n", "as": "all"}
    results = client(
        ["start", "t"],
        ["in", "t", "on", "closed", "findOne", {}],
        ["in", "t", "on", "closed", "insertOne", {"n": 1}],
        ["rollback", "t"],
        ["on", "open", "aggregate", [{"$lookup": lookup}]],
        ["on", "open", "aggregate", [{"$unionWith": "closed"}]],
        ["on", "open", "find", {}],
    )
    assert set(codes([results[i] for i in (1, 2, 4, 5)])) == {"PermissionDenied"}
    assert results[6]["value"]["result"] == []


def test_public_read(client: Client, management: Management, ruled: tuple[str, str]) -> None:
    set_rule(management, ruled[0], "notes", "PUBLICREAD")
    changed = {"$set": {"n": 9}}
    results = client(
        ["as", "ann", "on", "notes", "insertOne", {"_id": "ann", "n": 1}],
        ["as", "bob", "on", "notes", "insertOne", {"_id": "bob", "n": 2}],
        ["as", "bob", "on", "notes", "find", {}, {"sort": {"_id": 1}}],
        ["as", "bob", "on", "notes", "count", {}],
        ["as", "bob", "on", "notes", "aggregate", [{"$match": {"_id": "ann"}}]],
        ["as", "bob", "on", "notes", "updateOne", {"_id": "ann"}, changed],
        ["as", "bob", "on", "notes", "deleteOne", {"_id": "ann"}],
        ["as", "bob", "on", "notes", "updateMany", {}, changed],
        ["as", "bob", "on", "notes", "findOneAndDelete", {"_id": "ann"}],
        ["as", "cat", "on", "notes", "find", {}, {"sort": {"_id": 1}}],
    )
    told = values(results)
    both = [{"_id": "ann", "n": 1}, {"_id": "bob", "n": 2}]
    assert told[2:5] == [both, 2, both[:1]]
    assert counts(results)[5:8] == [0, 0, 1]
    assert told[8] is None
    assert told[9] == [{"_id": "ann", "n": 1}, {"_id": "bob", "n": 9}]


def test_private_documents_of_two_users(
    client: Client, management: Management, ruled: tuple[str, str]
) -> None:
    set_rule(management, ruled[0], "notes", "PRIVATE")
    mine = [{"_id": "a1", "n": 1}, {"_id": "a2", "n": 2}]
    sums = [{"$group": {"_id": None, "all": {"$sum": "$n"}}}]
    new = {"returnNewDocument": True}

    def ann(*step: Any) -> list[Any]:
        return ["as", "ann", "on", "notes", *step]

    def bob(*step: Any) -> list[Any]:
        return ["as", "bob", "on", "notes", *step]

    seen = client(
        ann("insertMany", mine),
        bob("insertOne", {"_id": "b1", "n": 40}),
        ann("find", {}, {"sort": {"_id": 1}}),
        bob("find"),
        ann("count", {}),
        bob("count", {"n": {"$gt": 0}}),
        bob("findOne", {"_id": "a1"}),
        bob("distinct", "n", {}),
        ann("aggregate", sums),
        bob("aggregate", sums),
        bob("find", {"$or": [{"_id": "a1"}, {"_id": "b1"}]}),
        bob("updateOne", {"_id": "a1"}, {"$set": {"n": 9}}),
        bob("updateMany", {}, {"$inc": {"n": 1}}),
        bob("replaceOne", {"_id": "a1"}, {"n": 9}),
        bob("findOneAndUpdate", {"_id": "a1"}, {"$set": {"n": 9}}, new),
        bob("findOneAndReplace", {"_id": "a1"}, {"n": 9}),
        bob("findOneAndDelete", {"_id": "a1"}),
        bob("deleteOne", {"_id": "a1"}),
        bob("replaceOne", {"_id": "b1"}, {"n": 50}),
        bob("updateOne", {"_id": "b2"}, {"$set": {"n": 60}}, {"upsert": True}),
        bob("deleteMany", {}),
        ann("find", {}, {"sort": {"_id": 1}}),
    )
    told, changed = values(seen), counts(seen)
    assert told[2:4] == [mine, [{"_id": "b1", "n": 40}]]
    assert told[4:9] == [2, 1, None, [40], [{"_id": None, "all": 3}]]
    assert told[9] == [{"_id": None, "all": 40}]
    assert told[10] == [{"_id": "b1", "n": 40}]
    assert changed[11:14] == [0, 1, 0]
    assert told[14:17] == [None, None, None]
    assert changed[17:21] == [0, 1, 1, 2]
    assert told[21] == mine


def test_what_a_function_inserts_belongs_to_its_user(
    client: Client, management: Management, ruled: tuple[str, str]
) -> None:
    set_rule(management, ruled[0], "notes", "PRIVATE")
    deploy(management, ruled[0])
    inside = [
        ["on", "notes", "insertOne", {"_id": "a"}],
        ["on", "notes", "find", {}, {"sort": {"_id": 1}}],
    ]
    _, invoked, own, none, _ = client(
        ["as", "bob", "on", "notes", "insertOne", {"_id": "b"}],
        ["as", "ann", "invoke", "database", {"steps": inside}],
        ["as", "ann", "on", "notes", "find"],
        ["as", "cat", "on", "notes", "find"],
        ["as", "bob", "on", "notes", "deleteMany", {}],
    )
    # A function itself sees all of them, but not whose they are.
    assert invoked["value"]["result"][1]["value"]["result"] == [{"_id": "a"}, {"_id": "b"}]
    assert own["value"]["result"] == [{"_id": "a"}]
    assert none["value"]["result"] == []


def test_a_join_with_private_documents_is_refused(
    client: Client, management: Management, ruled: tuple[str, str]
) -> None:
    set_rule(management, ruled[0], "notes", "PRIVATE")
    set_rule(management, ruled[0], "open", "EXTENDED", {".read": True, ".write": True})
    joined = {"from": "notes", "pipeline": [], "as": "all"}
    results = client(
        ["on", "notes", "aggregate", [{"$lookup": joined}]],
        ["on", "open", "aggregate", [{"$lookup": joined}]],
        ["on", "open", "aggregate", [{"$facet": {"a": [{"$lookup": joined}]}}]],
        ["on", "open", "aggregate", [{"$match": {}}, {"$out": "notes"}]],
    )
    assert codes(results)[:2] == ["PermissionDenied"] * 2
    assert all("error" in each for each in results[2:])


def test_private_documents_in_a_transaction(
    client: Client, management: Management, ruled: tuple[str, str]
) -> None:
    set_rule(management, ruled[0], "notes", "PRIVATE")
    results = client(
        ["as", "ann", "on", "notes", "insertOne", {"_id": "a", "n": 1}],
        ["as", "bob", "start", "t"],
        ["in", "t", "on", "notes", "findOne", {"_id": "a"}],
        ["in", "t", "on", "notes", "updateOne", {"_id": "a"}, {"$set": {"n": 2}}],
        ["in", "t", "on", "notes", "insertOne", {"_id": "b", "n": 3}],
        ["commit", "t"],
        ["as", "ann", "on", "notes", "find"],
        ["as", "bob", "on", "notes", "find"],
    )
    assert [results[i]["value"]["result"] for i in (2, 6, 7)] == [
        None,
        [{"_id": "a", "n": 1}],
        [{"_id": "b", "n": 3}],
    ]
    assert results[3]["value"]["affectedDocs"] == 0


def test_a_changed_rule_counts_at_once(
    client: Client, management: Management, ruled: tuple[str, str]
) -> None:
    find = ["on", "notes", "find", {}]
    set_rule(management, ruled[0], "notes", "PUBLICREAD")
    assert values(client(find)) == [[]]
    set_rule(management, ruled[0], "notes", "ADMINREADWRITEONLY")
    assert codes(client(find)) == ["PermissionDenied"]
    told = management.call(
        "DescribeServicePolicy", SpaceId=ruled[0], ServiceName="db", CollectionName="notes"
    )
    assert told["PolicyName"] == "ADMINREADWRITEONLY"
    set_rule(management, ruled[0], "notes", "PRIVATE")
    assert values(client(find)) == [[]]


def test_who_names_the_hidden_field_is_refused(
    client: Client, management: Management, ruled: tuple[str, str]
) -> None:
    set_rule(management, ruled[0], "notes", "PRIVATE")
    owner = "_yunhan_owner"
    results = client(
        ["raw", "notes", "insertOne", {owner: "me"}],
        ["raw", "notes", "find", {owner: {"$exists": True}}],
        ["raw", "notes", "find", {}, {"sort": {owner: 1}}],
        ["raw", "notes", "find", {}, {"projection": {owner: 1}}],
        ["raw", "notes", "updateMany", {}, {"$unset": {owner: 1}}],
        ["raw", "notes", "distinct", owner, {}],
        ["raw", "notes", "aggregate", [{"$project": {"x": f"${owner}"}}]],
    )
    assert codes(results) == ["2"] * 7


def test_the_other_policies(client: Client, management: Management, ruled: tuple[str, str]) -> None:
    owners = "request.auth.userId==resource.auth.userId"
    set_rule(management, ruled[0], "reads", "ADMINWRITEONLY")
    set_rule(management, ruled[0], "nothing", "ADMINREADWRITEONLY")
    set_rule(management, ruled[0], "own", "EXTENDED", {".read": owners, ".write": owners})
    set_rule(management, ruled[0], "*", "EXTENDED", {"*": True})
    results = client(
        ["on", "reads", "find", {}],
        ["on", "reads", "insertOne", {"n": 1}],
        ["on", "nothing", "find", {}],
        ["on", "nothing", "insertOne", {"n": 1}],
        ["as", "ann", "on", "own", "insertOne", {"n": 1}],
        ["as", "bob", "on", "own", "find", {}],
        ["as", "bob", "on", "any", "insertOne", {"_id": "x"}],
        ["as", "ann", "on", "any", "find", {}],
    )
    assert codes(results[1:4]) == ["PermissionDenied"] * 3
    assert values([results[0], *results[4:]])[0::2] == [[], [], [{"_id": "x"}]]
