"""What a hostile client of a space may ask of the database service before the embedded server: every answer
is a typed error or the right one, and nothing of other users or other spaces is in it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from runtime.backends.documents_mongodb import connect
from runtime.backends.space_documents_mongodb import SpaceDocumentsMongodb
from runtime.documents.operators import OperatorLimits
from runtime.documents.owner import OWNER_FIELD
from runtime.documents.rules import Rules, policy_of
from runtime.documents.transaction_room import TransactionBounds
from runtime.documents.transactions import Transactions
from runtime.errors import CallerError
from runtime.messages import PolicyName
from runtime.services.documents import DocumentLimits, DocumentService
from tests.harness.documents import Documents

pytestmark = pytest.mark.integration

SPACE, ELSEWHERE = "attacked", "elsewhere"
RULES = Rules.of(
    {
        "mine": policy_of(PolicyName.PRIVATE),
        "public": policy_of(PolicyName.PUBLICREAD),
        "open": policy_of(PolicyName.EXTENDED, '{"*": true}'),
        "closed": policy_of(PolicyName.ADMINREADWRITEONLY),
    }
)
LIMITS = DocumentLimits(
    operators=OperatorLimits(),
    documents=500,
    answer_bytes=8 * 1024 * 1024,
    time_ms=1000,
    client_time_max_ms=3000,
    trusted_time_max_ms=60_000,
)
TRANSACTIONS = TransactionBounds(per_user=50, per_space=50, total=500, reserved_percent=0)
TIME_S = 8.0
"""The longest a client's command may take, with what the adapter adds to 3 s."""
DENIED = "PermissionDenied"
BAD_COMMAND = "InvalidParameter.command"
NONE: list[Any] = []
SET = {"$set": {"hacked": 1}}
BY_ALICE = {"_id": "alice"}
OWN = f"${OWNER_FIELD}"


@dataclass(frozen=True)
class Attacked:
    """A service, and what two users have in every collection of two spaces."""

    service: DocumentService

    async def ask(
        self, params: Mapping[str, Any], *, user: str | None = "mallory", space: str = SPACE
    ) -> dict[str, Any]:
        started = time.monotonic()
        try:
            answer = await self.service.for_client(space, RULES, user, params)
        finally:
            assert time.monotonic() - started < TIME_S
        data: dict[str, Any] = orjson.loads(answer)
        assert OWNER_FIELD.encode() not in answer
        return data

    async def code(self, params: Mapping[str, Any], **who: Any) -> str:
        """Of the error; everything that is not a CallerError fails the test."""
        with pytest.raises(CallerError) as error:
            await self.ask(params, **who)
        error.value.message.encode()  # can be sent
        assert "alice-secret" not in error.value.message
        assert ELSEWHERE not in error.value.message
        return error.value.code


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    documents = Documents(tmp_path_factory.mktemp("documents")).start()
    try:
        yield documents.url
    finally:
        documents.stop()


@pytest.fixture(scope="module")
def seeded() -> set[str]:
    """Servers whose documents nothing has changed."""
    return set()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[DocumentService]:
    async with connect(url, timeout_s=5) as client:
        documents = SpaceDocumentsMongodb(client, prefix="t_")
        transactions = Transactions(
            documents, process_id="0" * 16, idle_s=10, life_s=60, bounds=TRANSACTIONS
        )
        async with transactions.open():
            yield DocumentService(documents=documents, transactions=transactions, limits=LIMITS)


async def seed(service: DocumentService) -> None:
    for space, collection in (
        (ELSEWHERE, "mine"),
        (SPACE, "unruled"),
        *((SPACE, name) for name in ("mine", "public", "open", "closed")),
    ):
        clear = {"command": "deleteMany", "collection": collection, "filter": {}}
        await service.trusted(space, clear)
        for user in ("alice", "mallory"):
            doc = {"_id": user, "secret": f"{user}-secret", "n": 1, "arr": [1, 2]}
            await service.trusted(space, insert(doc, collection), user_id=user)


@pytest.fixture
async def attacked(url: str, seeded: set[str]) -> AsyncIterator[Attacked]:
    """For attacks that change something."""
    async with opened(url) as service:
        await seed(service)
        seeded.clear()
        yield Attacked(service)


@pytest.fixture
async def untouched(url: str, seeded: set[str]) -> AsyncIterator[Attacked]:
    """For those that do not."""
    async with opened(url) as service:
        if url not in seeded:
            await seed(service)
            seeded.add(url)
        yield Attacked(service)


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


@pytest.mark.parametrize(
    ("params", "code"), [pytest.param(*row, id=str(number)) for number, row in enumerate(REFUSED)]
)
async def test_an_attack_is_refused_with_a_code(
    untouched: Attacked, params: dict[str, Any], code: str
) -> None:
    assert await untouched.code(params) == code


@pytest.mark.parametrize("user", [None, ""])
async def test_nobody_owns_nothing(untouched: Attacked, user: str | None) -> None:
    assert await untouched.code(find({}), user=user) == DENIED


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


@pytest.mark.parametrize(
    ("params", "affected"),
    [pytest.param(*row, id=str(number)) for number, row in enumerate(MALLORYS)],
)
async def test_a_command_reaches_own_documents_only(
    attacked: Attacked, params: dict[str, Any], affected: int
) -> None:
    answer = await attacked.ask(params)
    assert answer["affectedDocs"] == affected
    assert b"alice" not in orjson.dumps(answer)
    others = await attacked.ask(find({}), user="alice")
    kept = {"_id": "alice", "secret": "alice-secret", "n": 1, "arr": [1, 2]}
    assert others["result"] == [kept]


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


@pytest.mark.parametrize("params", SHOWN, ids=map(str, range(len(SHOWN))))
async def test_no_answer_shows_an_owner(attacked: Attacked, params: dict[str, Any]) -> None:
    answer = await attacked.ask(params)
    assert answer["affectedDocs"] > 0
    assert b"_owner" not in orjson.dumps(answer)


async def test_a_transaction_of_another_space_does_not_exist(attacked: Attacked) -> None:
    transaction_id = (await attacked.ask({"command": "startTransaction"}))["transactionId"]
    inside = {"transactionId": transaction_id}
    for params in (
        {"command": "commitTransaction", **inside},
        {"command": "abortTransaction", **inside},
        {**verb("findOne", query={}), **inside},
    ):
        assert await attacked.code(params, space=ELSEWHERE) == "251"
    own = {**verb("findOne", query=BY_ALICE), **inside}
    assert (await attacked.ask(own))["result"] is None
    assert await attacked.code({**verb("deleteMany", filter={}), **inside}) == "263"
    await attacked.ask({"command": "commitTransaction", **inside})
    assert await attacked.code({"command": "commitTransaction", **inside}) == "251"


@pytest.mark.parametrize(
    ("transaction_id", "code"),
    [
        ("tx-p1-" + "0" * 24, "251"),
        ("tx-p2-" + "0" * 24, "251"),
        ("", "2"),
        ("\ud800", "2"),
        (5, "14"),
        (None, "251"),
    ],
)
async def test_a_made_up_transaction_does_not_exist(
    untouched: Attacked, transaction_id: Any, code: str
) -> None:
    params = {"command": "commitTransaction", "transactionId": transaction_id}
    assert await untouched.code(params) == code


async def test_an_insert_of_many_that_stops_says_how_many_were_written(attacked: Attacked) -> None:
    docs = [{"_id": "a"}, {"_id": "alice"}, {"_id": "b"}]
    with pytest.raises(CallerError, match="the 1 before it were written"):
        await attacked.ask(verb("insertMany", docs=docs))
    assert (await attacked.ask(verb("count", query={})))["result"] == 2


async def test_what_bson_cannot_hold_is_not_done_at_all(attacked: Attacked) -> None:
    docs = [{"_id": "a"}, {"_id": "b", "t": "\ud800"}]
    assert await attacked.code(verb("insertMany", docs=docs)) == "2"
    assert (await attacked.ask(verb("count", query={})))["result"] == 1


async def test_more_documents_than_the_bound_are_cut_or_refused(attacked: Attacked) -> None:
    docs = [{"n": number} for number in range(600)]
    await attacked.ask(verb("insertMany", docs=docs))
    assert (await attacked.ask(find({}, limit=600)))["affectedDocs"] == 500
    assert await attacked.code(stages({"$match": {}})) == "10334"
    assert await attacked.code(verb("insertMany", docs=[{}] * 1001)) == "2"
