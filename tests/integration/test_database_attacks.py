"""What a hostile client of a space may ask of the database service before the embedded server: every answer
is a typed error or the right one, and nothing of other users or other spaces is in it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from runtime.documents.owner import OWNER_FIELD
from runtime.documents.rules import Rules, policy_of
from runtime.errors import CallerError
from runtime.messages import PolicyName
from runtime.services.documents import DocumentService
from tests.harness.database_service import opened_service
from tests.harness.documents import Documents
from tests.integration.database_attack_table import (
    BY_ALICE,
    COMPUTED,
    DENIED,
    ELSEWHERE,
    ENDLESS,
    MALLORYS,
    REFUSED,
    SHOWN,
    SPACE,
    find,
    insert,
    shown,
    stages,
    verb,
)

pytestmark = pytest.mark.integration

RULES = Rules.of(
    {
        "mine": policy_of(PolicyName.PRIVATE),
        "public": policy_of(PolicyName.PUBLICREAD),
        "open": policy_of(PolicyName.EXTENDED, '{"*": true}'),
        "closed": policy_of(PolicyName.ADMINREADWRITEONLY),
    }
)
TIME_S = 8.0
"""The longest a client's command may take, with what the adapter adds to 3 s."""


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
    async with opened_service(url, prefix="t_") as service:
        await seed(service)
        seeded.clear()
        yield Attacked(service)


@pytest.fixture
async def untouched(url: str, seeded: set[str]) -> AsyncIterator[Attacked]:
    """For those that do not."""
    async with opened_service(url, prefix="t_") as service:
        if url not in seeded:
            await seed(service)
            seeded.add(url)
        yield Attacked(service)


@pytest.mark.parametrize(
    ("params", "code"), [pytest.param(*row, id=str(number)) for number, row in enumerate(REFUSED)]
)
async def test_an_attack_is_refused_with_a_code(
    untouched: Attacked, params: dict[str, Any], code: str
) -> None:
    assert await untouched.code(params) == code


@pytest.mark.parametrize(
    ("params", "code"), [pytest.param(*row, id=str(number)) for number, row in enumerate(ENDLESS)]
)
async def test_what_would_take_an_interpreter_long_is_refused(
    untouched: Attacked, params: dict[str, Any], code: str
) -> None:
    assert await untouched.code(params) == code


@pytest.mark.parametrize(
    ("expression", "value"),
    [pytest.param(*row, id=str(number)) for number, row in enumerate(COMPUTED)],
)
async def test_what_is_asked_in_another_way_has_the_same_answer(
    untouched: Attacked, expression: Any, value: Any
) -> None:
    (document,) = (await untouched.ask(shown(expression)))["result"]
    assert document["x"] == (pytest.approx(value) if isinstance(value, float) else value)


@pytest.mark.parametrize("user", [None, ""])
async def test_nobody_owns_nothing(untouched: Attacked, user: str | None) -> None:
    assert await untouched.code(find({}), user=user) == DENIED


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
