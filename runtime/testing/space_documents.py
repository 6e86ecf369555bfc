"""What every `SpaceDocuments` adapter must keep: the table of cases, spaces apart, bounds.

The rest: `runtime.testing.space_administration`, `space_transactions`, `space_transfers`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from runtime.documents.errors import DatabaseError
from runtime.messages import CommandBounds, DocumentAnswer, DocumentCommand, Verb
from runtime.ports import SpaceDocuments
from runtime.testing.document_cases import CASES, Case
from runtime.testing.document_cases.case import ANY, COLLECTION, DAY, ID, OTHERS

BOUNDS = CommandBounds(documents=500, answer_bytes=8 * 1024 * 1024, time_ms=20_000)


class SpaceCalls:
    """Short ways to ask one space."""

    def __init__(self, documents: SpaceDocuments, space_id: str) -> None:
        self.documents = documents
        self.space_id = space_id

    async def ask(
        self,
        verb: Verb,
        arguments: Mapping[str, Any] | None = None,
        *,
        collection: str = COLLECTION,
        bounds: CommandBounds = BOUNDS,
        **options: Any,
    ) -> DocumentAnswer:
        command = DocumentCommand(
            verb=verb, collection=collection, arguments=arguments or {}, options=options
        )
        return await self.documents.run(self.space_id, command, bounds)

    async def insert(self, *docs: Mapping[str, Any], collection: str = COLLECTION) -> None:
        if docs:
            await self.ask(Verb.INSERT_MANY, {"docs": list(docs)}, collection=collection)

    async def all(self, collection: str = COLLECTION) -> list[Any]:
        found = await self.ask(Verb.FIND, {"query": {}}, collection=collection, sort={"_id": 1})
        return list(found.result)

    async def refused(
        self, verb: Verb, arguments: Mapping[str, Any], **options: Any
    ) -> DatabaseError:
        with pytest.raises(DatabaseError) as caught:
            await self.ask(verb, arguments, **options)
        return caught.value


class SpaceDocumentsFixtures:
    """Give `documents`, and drop what was made."""

    @pytest.fixture
    def documents(self) -> SpaceDocuments:
        raise NotImplementedError

    @pytest.fixture
    def wrong_here(self) -> Mapping[str, str]:
        """Cases that this server is known to answer wrongly: name -> how."""
        return {}

    @pytest.fixture
    def space(self, documents: SpaceDocuments) -> SpaceCalls:
        return SpaceCalls(documents, f"mp-{uuid.uuid4()}")


class SpaceDocumentsContract(SpaceDocumentsFixtures):
    """Give what the fixtures ask for."""

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "_"))
    async def test_case(
        self,
        case: Case,
        space: SpaceCalls,
        wrong_here: Mapping[str, str],
        request: pytest.FixtureRequest,
    ) -> None:
        if case.name in wrong_here:
            request.applymarker(pytest.mark.xfail(reason=wrong_here[case.name], strict=True))
        await space.insert(*case.documents)
        await space.insert(*case.others, collection=OTHERS)
        if case.error is not None:
            with pytest.raises(DatabaseError) as caught:
                await space.documents.run(space.space_id, case.command, BOUNDS)
            assert case.error in (0, caught.value.number), caught.value.message
        else:
            answer = await space.documents.run(space.space_id, case.command, BOUNDS)
            if case.result is not ANY:
                expected = case.result
                if case.verb is Verb.DISTINCT:
                    assert _sorted(answer.result) == _sorted(expected)
                else:
                    assert _same(answer.result, expected), answer.result
            if case.affected is not ANY:
                assert answer.affected == case.affected
            assert type(answer.affected) is int
        if case.after is not ANY:
            after = await space.all()
            assert _same(after, list(case.after)), after

    async def test_ids_are_made_where_none_are(self, space: SpaceCalls) -> None:
        one = await space.ask(Verb.INSERT_ONE, {"doc": {"n": 0}})
        many = await space.ask(Verb.INSERT_MANY, {"docs": [{"n": 1}, {"_id": "w"}, {"n": 2}]})
        assert one.affected == 1
        assert one.result == {"insertedId": one.result["insertedId"], "ok": 1, "n": 1}
        assert list(many.result) == ["0", "1", "2"]
        assert many.extra == {"insertedIds": list(many.result.values())}
        made = [one.result["insertedId"], many.result["0"], many.result["2"]]
        for given in made:
            assert len(bytes.fromhex(given)) == 12
            found = await space.ask(Verb.FIND_ONE, {"query": {"_id": given}})
            assert found.result["_id"] == given
        assert len(set(made)) == 3

    async def test_order_of_fields_is_kept(self, space: SpaceCalls) -> None:
        await space.insert({"z": 1, "a": {"y": 1, "b": 2}, "_id": 1})
        (found,) = await space.all()
        assert list(found) == ["_id", "z", "a"]
        assert list(found["a"]) == ["y", "b"]

    async def test_the_current_date_is_a_date(self, space: SpaceCalls) -> None:
        await space.insert({"_id": 1})
        update = {"$currentDate": {"d": True, "t": {"$type": "timestamp"}}}
        await space.ask(Verb.UPDATE_ONE, {"filter": {}, "update": update})
        (found,) = await space.all()
        assert found["d"] > DAY
        assert found["d"].endswith("Z")
        assert set(found["t"]) == {"t", "i"}

    async def test_spaces_do_not_see_each_other(
        self, documents: SpaceDocuments, space: SpaceCalls
    ) -> None:
        ids = ["mp-a", "MP-A", "mp.a", "mp-a ", "mp-" + "a" * 61, "control", "../x", "空间"]
        others = [SpaceCalls(documents, f"{each}{uuid.uuid4().hex[:2]}") for each in ids]
        for number, each in enumerate(others):
            await each.insert({"_id": number})
        assert await space.all() == []
        for number, each in enumerate(others):
            assert await each.all() == [{"_id": number}]
            await documents.drop_space(each.space_id)
            await documents.drop_space(each.space_id)
            assert await each.all() == []

    async def test_no_more_documents_than_the_bounds(self, space: SpaceCalls) -> None:
        await space.insert(*({"_id": i} for i in range(8)))
        few = replace(BOUNDS, documents=5)
        for limit in (0, 5, 6, 2**53):
            answer = await space.ask(Verb.FIND, {"query": {}}, bounds=few, limit=limit)
            assert answer.affected == len(answer.result) == 5
        page = await space.ask(Verb.FIND, {"query": {}}, bounds=few, limit=3)
        assert page.affected == 3
        last = await space.ask(Verb.FIND, {"query": {}}, bounds=few, skip=6)
        assert last.affected == 2
        answer = await space.ask(Verb.FIND, {"query": {}}, bounds=few)
        assert answer.affected == 5
        for verb, arguments in (
            (Verb.AGGREGATE, {"pipeline": []}),
            (Verb.DISTINCT, {"key": "_id", "query": {}}),
        ):
            error = await space.refused(verb, arguments, bounds=few)
            assert error.number == 10334
            assert "more than 5 items" in error.message
        pipeline = [{"$limit": 5}]
        cut = await space.ask(Verb.AGGREGATE, {"pipeline": pipeline}, bounds=few)
        assert cut.affected == 5
        counted = await space.ask(Verb.COUNT, {"query": {}}, bounds=few)
        assert counted.result == 8

    async def test_no_larger_answers_than_the_bounds(self, space: SpaceCalls) -> None:
        await space.insert(*({"_id": i, "t": "x" * 1000} for i in range(30)))
        small = replace(BOUNDS, answer_bytes=20_000)
        fits = await space.ask(Verb.FIND, {"query": {}}, bounds=small, limit=10)
        assert fits.affected == 10
        update = {"$set": {"t": "y" * 30_000}}
        for verb, arguments in (
            (Verb.FIND, {"query": {}}),
            (Verb.AGGREGATE, {"pipeline": []}),
            (Verb.AGGREGATE, {"pipeline": [{"$group": {"_id": 0, "all": {"$push": "$t"}}}]}),
            (Verb.FIND_ONE_AND_UPDATE, {"filter": {"_id": 0}, "update": update}),
            (Verb.FIND_ONE, {"query": {"_id": 0}}),
            (Verb.DISTINCT, {"key": "t", "query": {"_id": 0}}),
            (Verb.FIND_ONE_AND_DELETE, {"filter": {"_id": 0}}),
        ):
            if verb is Verb.FIND_ONE_AND_UPDATE:
                await space.ask(verb, arguments, bounds=small, projection={"_id": 1})
                continue
            error = await space.refused(verb, arguments, bounds=small)
            assert error.number == 10334
            assert "more than 20000 bytes" in error.message
        assert "was carried out" in error.message
        count = await space.ask(Verb.COUNT, {"query": {"_id": 0}})
        assert count.result == 0

    async def test_large_answers_come_whole(self, space: SpaceCalls) -> None:
        docs = [{"_id": i, "t": "x" * 20_000, "d": DAY} for i in range(100)]
        await space.insert(*docs)
        assert await space.all() == docs

    async def test_documents_that_are_too_large_are_refused(self, space: SpaceCalls) -> None:
        doc = {"_id": 1, "t": "x" * (16 * 1024 * 1024 + 1)}
        error = await space.refused(Verb.INSERT_ONE, {"doc": doc})
        assert error.number == 10334
        assert await space.all() == []

    async def test_no_larger_documents_than_the_bounds(self, space: SpaceCalls) -> None:
        fits = {"_id": 1, "t": "x" * 78}  # of 100 bytes
        large = {"_id": 2, "t": "x" * 79}
        small = replace(BOUNDS, document_bytes=100)
        await space.ask(Verb.INSERT_MANY, {"docs": [fits]}, bounds=small)
        of_all: dict[str, Any] = {"filter": {}}
        for verb, arguments in (
            (Verb.INSERT_ONE, {"doc": large}),
            (Verb.INSERT_MANY, {"docs": [{"_id": 3}, large]}),
            (Verb.REPLACE_ONE, {**of_all, "doc": {"t": "x" * 100}}),
            (Verb.FIND_ONE_AND_REPLACE, {**of_all, "replacement": {"t": "x" * 100}}),
            (Verb.UPDATE_ONE, {**of_all, "update": {"$set": {"t": "x" * 100}}}),
            (Verb.UPDATE_MANY, {**of_all, "update": [{"$set": {"t": "x" * 100}}]}),
            (Verb.FIND_ONE_AND_UPDATE, {**of_all, "update": {"$push": {"l": "x" * 100}}}),
        ):
            error = await space.refused(verb, arguments, bounds=small)
            assert error.number == 10334
            assert re.search(r"has \d+ bytes .* at most 100 .*nothing was written", error.message)
        assert await space.all() == [fits]
        replacement = {**of_all, "doc": {"_id": 1, "t": "y" * 78}}
        assert (await space.ask(Verb.REPLACE_ONE, replacement, bounds=small)).affected == 1

    async def test_what_no_document_can_hold_is_refused(self, space: SpaceCalls) -> None:
        docs: list[Mapping[str, Any]] = [{"a": "\ud800"}, {"\ud800": 1}, {"a\0b": 1}]
        docs += [{"a": 10**400}, {"$set": {}}]
        for doc in docs:
            error = await space.refused(Verb.INSERT_ONE, {"doc": doc})
            assert error.number == 2
        assert await space.all() == []

    async def test_time_is_bounded(self, space: SpaceCalls) -> None:
        await space.insert(*({"_id": i, "l": list(range(60))} for i in range(400)))
        slow = [
            {"$unwind": "$l"},
            {"$set": {"l2": {"$range": [0, 60]}}},
            {"$unwind": "$l2"},
            {"$group": {"_id": {"$mod": ["$l2", 7]}, "n": {"$sum": "$l"}}},
        ]
        cases: list[tuple[CommandBounds, dict[str, Any]]] = [
            (replace(BOUNDS, time_ms=20), {}),
            (BOUNDS, {"maxTimeMS": 20}),
            (replace(BOUNDS, time_ms=20), {"maxTimeMS": 60_000}),
        ]
        for bounds, options in cases:
            error = await space.refused(
                Verb.AGGREGATE, {"pipeline": slow}, bounds=bounds, **options
            )
            assert error.number == 50
        assert len(await space.all()) == 400
        brief = replace(BOUNDS, time_ms=1)
        arguments = {
            "filter": {"$expr": {"$gt": [{"$sum": "$l"}, 1]}},
            "update": {"$inc": {"n": 1}},
        }
        error = await space.refused(Verb.UPDATE_MANY, arguments, bounds=brief)
        assert error.number == 50
        assert "some documents may have been changed" in error.message

    async def test_partial_inserts_are_not_reported_as_done(self, space: SpaceCalls) -> None:
        await space.insert({"_id": 3})
        docs = [{"_id": i} for i in range(1, 6)]
        error = await space.refused(Verb.INSERT_MANY, {"docs": docs})
        assert error.number == 11000
        assert "item 2" in error.message
        assert "the 2 before it were written, those after it were not" in error.message
        assert await space.all() == [{"_id": 1}, {"_id": 2}, {"_id": 3}]

    async def test_partial_updates_are_not_reported_as_done(self, space: SpaceCalls) -> None:
        await space.insert({"_id": 1, "n": 1}, {"_id": 2, "n": "x"})
        arguments = {"filter": {}, "update": {"$inc": {"n": 1}}}
        error = await space.refused(Verb.UPDATE_MANY, arguments)
        assert error.number == 14
        assert "may have been changed" in error.message

    async def test_errors_do_not_name_databases(self, space: SpaceCalls) -> None:
        await space.insert({"_id": 1})
        error = await space.refused(Verb.INSERT_ONE, {"doc": {"_id": 1}})
        assert error.code == "11000"
        assert error.message.startswith("DuplicateKey: insertOne on collection things: ")
        assert space.space_id not in error.message

    async def test_explain_tells_nothing_of_the_server(self, space: SpaceCalls) -> None:
        await space.insert({"_id": ID})
        plan = await space.ask(
            Verb.AGGREGATE, {"pipeline": [{"$match": {"_id": ID}}]}, explain=True
        )
        assert plan.affected == 1
        assert "serverInfo" not in plan.result[0]


def _same(found: Any, expected: Any) -> bool:
    """Equal, and true is not one; a whole double equals an int."""
    if isinstance(expected, Mapping):
        return (
            isinstance(found, dict)
            and found.keys() == expected.keys()
            and all(_same(found[key], each) for key, each in expected.items())
        )
    if isinstance(expected, Sequence) and not isinstance(expected, str):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(_same(one, other) for one, other in zip(found, expected, strict=True))
        )
    return isinstance(found, bool) == isinstance(expected, bool) and bool(found == expected)


def _sorted(values: Sequence[Any]) -> list[tuple[str, str]]:
    return sorted((type(each).__name__, str(each)) for each in values)
