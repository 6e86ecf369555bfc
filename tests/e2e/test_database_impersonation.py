"""A backend that acts for users of an app: whose documents are whose (spec: server protocol §5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runtime.documents.owner import OWNER_FIELD
from tests.e2e.conftest import RunSdk
from tests.harness.database_sdk import codes, set_rule, values
from tests.harness.management import Management
from tests.harness.program import Program

pytestmark = pytest.mark.e2e

Steps = Callable[..., list[dict[str, Any]]]
WRITE_FOR = """module.exports = async (ctx) => {
  const mp = ctx.args.as ? ctx.mpserverless.setUserId(ctx.args.as) : ctx.mpserverless;
  return (await mp.db.collection('notes').insertOne({ _id: ctx.args.id })).result.insertedId;
};"""
ANN: dict[str, str] = {"$user": "ann"}


@pytest.fixture(scope="module")
def keys(management: Management) -> dict[str, str]:
    space_id, secret = management.space("e2e-as")
    set_rule(management, space_id, "notes", "PRIVATE")
    set_rule(management, space_id, "public", "PUBLICREAD")
    management.deploy(space_id, "write-for", {"index.js": WRITE_FOR})
    config = management.call("DescribeSpaceClientConfig", SpaceId=space_id, Detail=True)
    return {"spaceId": space_id, "clientSecret": secret, "serverSecret": config["PrivateKey"]}


@pytest.fixture
def steps(run_sdk: RunSdk, keys: dict[str, str], program: Program) -> Steps:
    def steps(*steps: list[Any]) -> list[dict[str, Any]]:
        cleared: list[list[Any]] = [
            *(["backend", 0, "", "on", name, "deleteMany", {}] for name in ("notes", "public")),
        ]
        results = run_sdk(
            "database_shared.cjs",
            endpoints=[program.endpoint],
            steps=[*cleared, *steps],
            **keys,
        )
        values(results[:2])
        return results[2:]

    return steps


def app(user: str, *action: Any) -> list[Any]:
    return ["app", 0, user, *action]


def backend(user: Any, *action: Any) -> list[Any]:
    return ["backend", 0, user, *action]


BY_ID = {"sort": {"_id": 1}}


def test_what_is_inserted_for_a_user_is_the_users_own(steps: Steps) -> None:
    results = steps(
        backend(ANN, "on", "notes", "insertOne", {"_id": "one"}),
        backend(ANN, "on", "notes", "insertMany", [{"_id": "two"}, {"_id": "three"}]),
        backend(
            ANN, "on", "notes", "updateOne", {"_id": "up"}, {"$set": {"n": 1}}, {"upsert": True}
        ),
        backend(ANN, "on", "notes", "replaceOne", {"_id": "re"}, {"n": 1}, {"upsert": True}),
        backend("", "on", "notes", "insertOne", {"_id": "nobody's"}),
        backend("bob", "on", "notes", "insertOne", {"_id": "bob's"}),
        app("ann", "on", "notes", "find", {}, BY_ID),
        app("bob", "on", "notes", "find", {}),
        app("ann", "on", "notes", "updateMany", {}, {"$set": {"n": 2}}),
        app("ann", "on", "notes", "deleteMany", {}),
        app("ann", "on", "notes", "count", {}),
        backend("", "on", "notes", "find", {}, BY_ID),
    )
    told = values(results)
    assert [each["_id"] for each in told[6]] == ["one", "re", "three", "two", "up"]
    assert told[7] == []  # an anonymous user called bob by the test is not the user "bob"
    assert results[8]["value"]["affectedDocs"] == results[9]["value"]["affectedDocs"] == 5
    assert told[10] == 0
    assert told[11] == [{"_id": "bob's"}, {"_id": "nobody's"}]  # and nothing tells whose they are


def test_no_rule_holds_while_it_acts_for_a_user(steps: Steps) -> None:
    results = steps(
        app("bob", "on", "public", "insertOne", {"_id": "bob's", "n": 1}),
        backend(ANN, "on", "public", "updateOne", {"_id": "bob's"}, {"$set": {"n": 2}}),
        backend(ANN, "on", "unruled", "insertOne", {"n": 1}),
        backend(ANN, "on", "unruled", "deleteMany", {}),
        app("ann", "on", "public", "updateOne", {"_id": "bob's"}, {"$set": {"n": 3}}),
        app("ann", "on", "unruled", "find", {}),
        app("bob", "on", "public", "updateOne", {"_id": "bob's"}, {"$inc": {"n": 2}}),
        app("ann", "on", "public", "find", {}),
    )
    changed = [results[i]["value"]["affectedDocs"] for i in (1, 2, 3, 4, 6)]
    assert changed == [1, 1, 1, 0, 1]  # the last: a change for another user leaves the owner
    assert codes([results[5]]) == ["PermissionDenied"]
    assert results[7]["value"]["result"] == [{"_id": "bob's", "n": 4}]


def test_the_owner_is_not_set_or_seen_through_it(steps: Steps) -> None:
    results = steps(
        backend(ANN, "on", "notes", "insertOne", {"_id": "mine"}),
        backend("bob", "on", "notes", "insertOne", {OWNER_FIELD: "ann"}),
        backend("bob", "on", "notes", "updateOne", {"_id": "mine"}, {"$set": {OWNER_FIELD: "bob"}}),
        backend("bob", "on", "notes", "replaceOne", {"_id": "mine"}, {"n": 1}),
        app("ann", "on", "notes", "find", {}),
        backend("", "on", "notes", "find", {}),
    )
    assert all("error" in each for each in results[1:3])
    assert results[4]["value"]["result"] == [{"_id": "mine", "n": 1}]
    assert results[5]["value"]["result"] == [{"_id": "mine", "n": 1}]


def test_a_transaction_for_a_user(steps: Steps) -> None:
    results = steps(
        backend(ANN, "start"),
        backend(ANN, "in", {"$step": 2}, "notes", "insertOne", {"_id": "in it"}),
        app("ann", "on", "notes", "find", {}),
        backend(ANN, "commit", {"$step": 2}),
        app("ann", "on", "notes", "find", {}),
    )
    assert [each["value"]["result"] for each in (results[2], results[4])] == [
        [],
        [{"_id": "in it"}],
    ]


def test_a_function_inherits_the_user_and_may_be_another(steps: Steps) -> None:
    results = steps(
        backend(ANN, "invoke", "write-for", {"id": "a"}),
        app("ann", "invoke", "write-for", {"id": "b"}),
        app("bob", "invoke", "write-for", {"id": "c", "as": ANN}),
        app("bob", "invoke", "write-for", {"id": "d"}),
        backend("", "invoke", "write-for", {"id": "e"}),
        app("ann", "on", "notes", "find", {}, BY_ID),
        app("bob", "on", "notes", "find", {}, BY_ID),
    )
    assert [each["value"]["result"] for each in results[:5]] == ["a", "b", "c", "d", "e"]
    assert [each["_id"] for each in results[5]["value"]["result"]] == ["a", "b", "c"]
    assert [each["_id"] for each in results[6]["value"]["result"]] == ["d"]


def test_wild_user_ids_are_refused(steps: Steps) -> None:
    wild = ["x" * 129, "a\nb", "a\0b", "\u202e"]
    *made, found = steps(
        *(backend(user, "on", "notes", "insertOne", {"_id": user}) for user in wild),
        backend("", "on", "notes", "find", {}),
    )
    assert codes(made) == ["InvalidParameter.userId"] * len(wild)
    assert found["value"]["result"] == []


def test_an_odd_user_id_is_a_user_like_others(steps: Steps) -> None:
    odd = ["$ne", "a.b", "用户 8", "{}", "null", "x" * 128]
    results = steps(
        *(backend(user, "on", "notes", "insertOne", {"_id": user}) for user in odd),
        backend(ANN, "on", "notes", "insertOne", {"_id": "mine"}),
        app("ann", "on", "notes", "find", {}),
        backend("", "on", "notes", "count", {}),
    )
    assert values(results)[-2:] == [[{"_id": "mine"}], len(odd) + 1]
