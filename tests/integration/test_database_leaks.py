"""What answers and errors of the database service tell beside what was asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest

from runtime.documents.errors import DatabaseError
from runtime.documents.owner import OWNER_FIELD
from runtime.documents.rules import Rules, policy_of
from runtime.messages import PolicyName
from runtime.services.documents import DocumentService
from tests.harness.database_service import opened_service
from tests.harness.documents import Documents

pytestmark = pytest.mark.integration

SPACE, PREFIX = "leaking", "tprefix_"
OF_OWNERS = '"request.auth.userId == resource.auth.userId"'
RULES = Rules.of(
    {
        "box": policy_of(PolicyName.EXTENDED, f'{{".read": {OF_OWNERS}, ".write": true}}'),
        "blind": policy_of(PolicyName.EXTENDED, '{".read": false, ".write": true}'),
        "open": policy_of(PolicyName.EXTENDED, '{"*": true}'),
    }
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    documents = Documents(tmp_path_factory.mktemp("documents")).start()
    try:
        yield documents.url
    finally:
        documents.stop()


class Space:
    """Documents of two users in every collection; mallory asks."""

    def __init__(self, service: DocumentService) -> None:
        self.service = service

    async def fill(self) -> None:
        for name in ("box", "blind", "open"):
            clear: dict[str, Any] = {"command": "deleteMany", "collection": name, "filter": {}}
            await self.service.trusted(SPACE, clear)
            for user in ("alice", "mallory"):
                doc = {"_id": user, "k": f"{user}-key", "secret": f"{user}-secret"}
                insert = {"command": "insertOne", "collection": name, "doc": doc}
                await self.service.trusted(SPACE, insert, user_id=user)

    async def ask(self, collection: str, command: str, **params: Any) -> dict[str, Any]:
        asked = {"command": command, "collection": collection, **params}
        data: dict[str, Any] = orjson.loads(
            await self.service.for_client(SPACE, RULES, "mallory", asked)
        )
        return data

    async def refused(self, collection: str, command: str, **params: Any) -> DatabaseError:
        with pytest.raises(DatabaseError) as error:
            await self.ask(collection, command, **params)
        return error.value


@pytest.fixture
async def space(url: str) -> AsyncIterator[Space]:
    async with opened_service(url, prefix=PREFIX) as service:
        space = Space(service)
        await space.fill()
        yield space


RETURNING: list[tuple[str, dict[str, Any]]] = [
    ("findOneAndUpdate", {"update": {"$set": {"n": 1}}}),
    ("findOneAndUpdate", {"update": {"$set": {"n": 1}}, "options": {"returnNewDocument": True}}),
    ("findOneAndReplace", {"replacement": {"n": 1}}),
    ("findOneAndDelete", {}),
]


@pytest.mark.parametrize(("command", "params"), RETURNING, ids=str)
async def test_writing_shows_nothing_that_may_not_be_read(
    space: Space, command: str, params: dict[str, Any]
) -> None:
    answer = await space.ask("box", command, filter={"_id": "alice"}, **params)
    assert answer == {"affectedDocs": 0, "result": None}
    answer = await space.ask("box", command, filter={}, **params)
    assert answer["result"]["_id"] == "mallory"
    answer = await space.ask("blind", command, filter={}, **params)
    assert answer == {"affectedDocs": 1, "result": None}


async def test_who_may_write_everything_changes_what_they_cannot_read(space: Space) -> None:
    change = {"filter": {"_id": "alice"}, "update": {"$set": {"n": 1}}}
    assert (await space.ask("box", "updateOne", **change))["affectedDocs"] == 1
    assert (await space.ask("box", "find", query={}))["affectedDocs"] == 1


STOPPED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"$set": {"secret.x": 1}}),
    ({}, {"$rename": {"k": "secret.x"}}),
    ({}, {"$inc": {"secret": 1}}),
    ({}, {"$push": {"secret": 1}}),
    ({"$expr": {"$gt": [{"$toInt": "$secret"}, 0]}}, {"$set": {"n": 1}}),
    ({"$expr": {"$toDate": "$secret"}}, {"$set": {"n": 1}}),
]


@pytest.mark.parametrize(("condition", "change"), STOPPED, ids=str)
@pytest.mark.parametrize("command", ["updateOne", "updateMany"])
async def test_an_error_shows_no_document_that_may_not_be_read(
    space: Space, command: str, condition: dict[str, Any], change: dict[str, Any]
) -> None:
    given = {"filter": {"_id": "alice", **condition}, "update": change}
    for collection in ("box", "blind"):
        error = await space.refused(collection, command, **given)
        assert "alice" not in error.message
        assert f"{command} on collection {collection}" in error.message
    told = await space.refused("open", command, **given)
    assert "alice" in told.message or "secret" in told.message
    assert told.number == error.number


@pytest.mark.parametrize("alone", [True, False])
async def test_expressions_are_computed_for_own_documents_only(space: Space, alone: bool) -> None:
    """Alice's secret is no date, so that one of hers would end in an error."""
    own = {"filter": {"_id": "mallory"}, "update": {"$set": {"secret": "2026-01-02"}}}
    await space.ask("box", "updateOne", **own)
    fails: dict[str, Any] = {"$expr": {"$toDate": "$secret"}}
    query = fails if alone else {"$or": [fails, {"n": 1}]}
    asked: list[tuple[str, dict[str, Any]]] = [
        ("find", {"query": query}),
        ("count", {"query": query}),
        ("distinct", {"key": "secret", "query": query}),
        ("aggregate", {"pipeline": [{"$match": query}]}),
        ("aggregate", {"pipeline": [{"$sort": {"k": 1}}, {"$match": query}]}),
        ("findOneAndUpdate", {"filter": query, "update": {"$set": {"n": 1}}}),
    ]
    for command, given in asked:
        assert (await space.ask("box", command, **given))["affectedDocs"] == 1


async def test_a_key_that_is_taken_is_not_shown(space: Space) -> None:
    index = {"command": "createIndex", "collection": "box", "field": {"k": 1, "secret": 1}}
    await space.service.trusted(SPACE, {**index, "options": {"unique": True}})
    taken = {"_id": "other", "k": "new-key", "secret": "alice-secret"}
    await space.service.trusted(SPACE, {"command": "insertOne", "collection": "box", "doc": taken})
    change = {"filter": {"_id": "alice"}, "update": {"$set": {"k": "new-key"}}}
    for command in ("updateOne", "updateMany"):
        error = await space.refused("box", command, **change)
        assert error.number == 11000
        assert "alice-secret" not in error.message
        assert "k_1_secret_1" in error.message


async def test_plans_do_not_name_the_database(space: Space) -> None:
    pipeline = [{"$match": {"k": 1}}, {"$lookup": {"from": "open", "as": "x", "pipeline": []}}]
    options = {"explain": True}
    plan = await space.ask("open", "aggregate", pipeline=pipeline, options=options)
    asked = {"command": "aggregate", "collection": "open", "pipeline": [], "options": options}
    trusted = await space.service.trusted(SPACE, asked)
    assert "queryPlanner" in plan["result"][0]
    for each in (orjson.dumps(plan), trusted):
        assert PREFIX.encode() not in each
        assert OWNER_FIELD.encode() not in each


@pytest.mark.parametrize(
    ("command", "name"), [("replaceOne", "doc"), ("findOneAndReplace", "replacement")]
)
async def test_errors_name_what_was_asked(space: Space, command: str, name: str) -> None:
    """Though a rule that lets everybody write makes another command of it."""
    error = await space.refused("open", command, filter={}, **{name: {"_id": "other"}})
    assert f"{command} on collection open" in error.message


async def test_a_refusal_before_the_first_document_does_not_warn_of_changes(space: Space) -> None:
    change: dict[str, Any] = {"update": {"$set": {"n": 1}}}
    wrong = await space.refused("open", "updateMany", filter={"n": {"$type": "none"}}, **change)
    assert "may have been changed" not in wrong.message
    change = {"update": {"$inc": {"k": 1}}}
    begun = await space.refused("open", "updateMany", filter={}, **change)
    assert "may have been changed" in begun.message
