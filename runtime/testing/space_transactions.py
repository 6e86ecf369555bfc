"""What every `SpaceDocuments` adapter must keep of transactions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from runtime.documents.errors import DatabaseError
from runtime.messages import IN_TRANSACTION, DocumentAnswer, DocumentCommand, Verb
from runtime.ports import DocumentTransaction
from runtime.testing.document_cases.case import COLLECTION, DAY, ID
from runtime.testing.space_documents import BOUNDS, SpaceCalls, SpaceDocumentsFixtures

_BY_ID = {"filter": {"_id": 1}}


async def _ask(
    transaction: DocumentTransaction,
    verb: Verb,
    arguments: Mapping[str, Any],
    *,
    collection: str = COLLECTION,
    **options: Any,
) -> DocumentAnswer:
    command = DocumentCommand(
        verb=verb, collection=collection, arguments=arguments, options=options
    )
    return await transaction.run(command, BOUNDS)


async def _inc(transaction: DocumentTransaction, _id: Any = 1) -> DocumentAnswer:
    update = {"$inc": {"n": 1}}
    return await _ask(transaction, Verb.UPDATE_ONE, {"filter": {"_id": _id}, "update": update})


async def _number_of(transaction: DocumentTransaction, verb: Verb = Verb.FIND_ONE) -> int:
    with pytest.raises(DatabaseError) as caught:
        await _ask(transaction, verb, {"query": {}})
    return caught.value.number


async def _refused_commit(transaction: DocumentTransaction) -> None:
    with pytest.raises(DatabaseError) as caught:
        await transaction.commit()
    assert caught.value.number == 251


class SpaceTransactionsContract(SpaceDocumentsFixtures):
    """Give what the fixtures ask for."""

    @pytest.fixture
    async def one(self, space: SpaceCalls) -> DocumentTransaction:
        await space.insert({"_id": 1, "n": 1}, {"_id": 2, "n": 1})
        return await space.documents.begin(space.space_id)

    @pytest.fixture
    async def two(self, space: SpaceCalls, one: DocumentTransaction) -> DocumentTransaction:
        return await space.documents.begin(space.space_id)

    async def test_all_or_nothing(self, space: SpaceCalls, one: DocumentTransaction) -> None:
        assert (await _inc(one)).affected == 1
        await _ask(one, Verb.INSERT_ONE, {"doc": {"_id": ID, "d": DAY}})
        await _ask(one, Verb.DELETE_ONE, {"filter": {"_id": 2}})
        before = await space.all()
        assert before == [{"_id": 1, "n": 1}, {"_id": 2, "n": 1}]
        inside = await _ask(one, Verb.FIND_ONE, {"query": {"_id": ID}})
        assert inside.result == {"_id": ID, "d": DAY}
        await one.commit()
        assert await space.all() == [{"_id": 1, "n": 2}, {"_id": ID, "d": DAY}]

    async def test_nothing_after_an_abort(
        self, space: SpaceCalls, one: DocumentTransaction
    ) -> None:
        await _inc(one)
        await one.abort()
        await one.abort()
        assert await space.all() == [{"_id": 1, "n": 1}, {"_id": 2, "n": 1}]
        assert await _number_of(one) == 251

    async def test_it_sees_the_state_of_its_begin(
        self, space: SpaceCalls, one: DocumentTransaction
    ) -> None:
        query = {"query": {"_id": 1}}
        first = await _ask(one, Verb.FIND_ONE, query)
        change = {"filter": {"_id": 1}, "update": {"$set": {"n": 9}}}
        await space.ask(Verb.UPDATE_ONE, change)
        again = await _ask(one, Verb.FIND_ONE, query)
        assert first.result == again.result == {"_id": 1, "n": 1}
        await one.commit()

    async def test_the_second_writer_loses(
        self, space: SpaceCalls, one: DocumentTransaction, two: DocumentTransaction
    ) -> None:
        await _ask(two, Verb.FIND_ONE, {"query": {}})
        await _inc(one)
        with pytest.raises(DatabaseError) as caught:
            await _inc(two)
        assert caught.value.number == 112
        assert await _number_of(two) == 251
        await _refused_commit(two)
        await one.commit()
        assert (await space.all())[0] == {"_id": 1, "n": 2}

    async def test_who_wrote_outside_meanwhile_wins(
        self, space: SpaceCalls, one: DocumentTransaction
    ) -> None:
        await _ask(one, Verb.FIND_ONE, {"query": {}})
        change = {"filter": {"_id": 1}, "update": {"$set": {"n": 9}}}
        await space.ask(Verb.UPDATE_ONE, change)
        with pytest.raises(DatabaseError) as caught:
            await _inc(one)
        assert caught.value.number == 112
        assert (await space.all())[0] == {"_id": 1, "n": 9}

    async def test_the_same_new_id_conflicts(
        self, space: SpaceCalls, one: DocumentTransaction, two: DocumentTransaction
    ) -> None:
        doc = {"doc": {"_id": "new"}}
        await _ask(two, Verb.FIND_ONE, {"query": {}})
        await _ask(one, Verb.INSERT_ONE, doc)
        with pytest.raises(DatabaseError) as caught:
            await _ask(two, Verb.INSERT_ONE, doc)
        assert caught.value.number in (112, 11000)
        await one.commit()

    async def test_changes_of_different_documents_go_together(
        self, space: SpaceCalls, one: DocumentTransaction, two: DocumentTransaction
    ) -> None:
        await _inc(one, 1)
        await _inc(two, 2)
        await two.commit()
        await one.commit()
        assert await space.all() == [{"_id": 1, "n": 2}, {"_id": 2, "n": 2}]

    async def test_an_error_of_the_server_ends_it(
        self, space: SpaceCalls, one: DocumentTransaction
    ) -> None:
        await _inc(one)
        with pytest.raises(DatabaseError) as caught:
            await _ask(one, Verb.INSERT_ONE, {"doc": {"_id": 2}})
        assert caught.value.number == 11000
        assert await _number_of(one) == 251
        assert await space.all() == [{"_id": 1, "n": 1}, {"_id": 2, "n": 1}]

    async def test_an_answer_that_is_too_large_ends_it(
        self, space: SpaceCalls, one: DocumentTransaction
    ) -> None:
        await _inc(one)
        command = DocumentCommand(
            verb=Verb.FIND_ONE, collection=COLLECTION, arguments={"query": {}}
        )
        with pytest.raises(DatabaseError) as caught:
            await one.run(command, replace(BOUNDS, answer_bytes=5))
        assert caught.value.number == 10334
        assert await _number_of(one) == 251
        await _refused_commit(one)
        assert await space.all() == [{"_id": 1, "n": 1}, {"_id": 2, "n": 1}]

    @pytest.mark.parametrize(
        ("verb", "change"),
        [
            (Verb.FIND_ONE_AND_UPDATE, {"update": {"$inc": {"n": 1}}}),
            (Verb.FIND_ONE_AND_REPLACE, {"replacement": {"n": 9}}),
            (Verb.FIND_ONE_AND_DELETE, {}),
        ],
    )
    async def test_a_change_whose_answer_is_too_large_is_not_said_to_be_done(
        self,
        verb: Verb,
        change: Mapping[str, Any],
        space: SpaceCalls,
        one: DocumentTransaction,
    ) -> None:
        command = DocumentCommand(
            verb=verb, collection=COLLECTION, arguments={"filter": {"_id": 1}, **change}
        )
        with pytest.raises(DatabaseError, match="transaction is rolled back") as caught:
            await one.run(command, replace(BOUNDS, answer_bytes=5))
        assert caught.value.number == 10334
        assert "carried out" not in caught.value.message
        await _refused_commit(one)
        assert await space.all() == [{"_id": 1, "n": 1}, {"_id": 2, "n": 1}]

    async def test_a_wrong_argument_does_not_end_it(
        self, space: SpaceCalls, one: DocumentTransaction
    ) -> None:
        await _inc(one)
        large = DocumentCommand(
            verb=Verb.INSERT_ONE, collection=COLLECTION, arguments={"doc": {"t": "x" * 200}}
        )
        with pytest.raises(DatabaseError, match="at most 100"):
            await one.run(large, replace(BOUNDS, document_bytes=100))
        assert await _number_of(one, Verb.FIND) == 263
        with pytest.raises(DatabaseError):
            await _ask(one, Verb.UPDATE_ONE, {"filter": {}, "update": {"n": 1}})
        await one.commit()
        assert (await space.all())[0] == {"_id": 1, "n": 2}

    async def test_it_ends_once(self, space: SpaceCalls, one: DocumentTransaction) -> None:
        await _inc(one)
        await one.commit()
        await one.abort()
        assert await _number_of(one) == 251
        await _refused_commit(one)
        assert (await space.all())[0] == {"_id": 1, "n": 2}

    async def test_an_empty_one_commits(self, one: DocumentTransaction) -> None:
        await one.commit()

    async def test_what_may_run_inside(self, space: SpaceCalls, one: DocumentTransaction) -> None:
        update = {"update": {"$set": {"x": 1}}}
        arguments: dict[Verb, Mapping[str, Any]] = {
            Verb.FIND_ONE: {"query": {"_id": 1}},
            Verb.INSERT_ONE: {"doc": {"_id": 3}},
            Verb.UPDATE_ONE: {**_BY_ID, **update},
            Verb.FIND_ONE_AND_UPDATE: {"filter": {"_id": 2}, **update},
            Verb.REPLACE_ONE: {**_BY_ID, "doc": {"y": 1}},
            Verb.FIND_ONE_AND_REPLACE: {**_BY_ID, "replacement": {"y": 2}},
            Verb.FIND_ONE_AND_DELETE: {"filter": {"_id": 2}},
            Verb.DELETE_ONE: {"filter": {"_id": 3}},
        }
        assert arguments.keys() == IN_TRANSACTION
        for verb, each in arguments.items():
            assert (await _ask(one, verb, each)).affected == 1
        await one.commit()
        assert await space.all() == [{"_id": 1, "y": 2}]

    async def test_a_collection_may_be_new(
        self, space: SpaceCalls, one: DocumentTransaction
    ) -> None:
        await _ask(one, Verb.INSERT_ONE, {"doc": {"_id": 1}}, collection="fresh")
        await one.commit()
        assert await space.all("fresh") == [{"_id": 1}]

    async def test_an_upsert_inside(self, space: SpaceCalls, one: DocumentTransaction) -> None:
        arguments = {"filter": {"_id": ID}, "update": {"$set": {"n": 1}}}
        answer = await _ask(one, Verb.UPDATE_ONE, arguments, upsert=True)
        assert (answer.affected, answer.result) == (1, {"upsertedId": ID})
        await one.commit()
        assert (await space.all())[2] == {"_id": ID, "n": 1}
