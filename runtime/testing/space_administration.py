"""What every `SpaceDocuments` adapter must keep of collections and indexes."""

from __future__ import annotations

from runtime.messages import Verb
from runtime.testing.space_documents import SpaceCalls, SpaceDocumentsFixtures


class SpaceAdministrationContract(SpaceDocumentsFixtures):
    """Give what the fixtures ask for."""

    async def test_unique_indexes(self, space: SpaceCalls) -> None:
        await space.ask(Verb.CREATE_INDEX, {"field": "email"}, unique=True)
        await space.insert({"_id": 1, "email": "a"}, {"_id": 2})
        for doc in ({"email": "a"}, {"other": 1}, {"email": None}):  # a missing field is null
            error = await space.refused(Verb.INSERT_ONE, {"doc": doc})
            assert error.number == 11000
        await space.insert({"_id": 3, "email": 1}, {"_id": 4, "email": True})
        change = {"filter": {"_id": 3}, "update": {"$set": {"email": "a"}}}
        for verb in (Verb.UPDATE_ONE, Verb.UPDATE_MANY, Verb.FIND_ONE_AND_UPDATE):
            assert (await space.refused(verb, change)).number == 11000
        replacement = {"filter": {"_id": 3}, "doc": {"email": "a"}}
        assert (await space.refused(Verb.REPLACE_ONE, replacement)).number == 11000
        upsert = {"filter": {"_id": 9, "email": "a"}, "update": {"$set": {"x": 1}}}
        assert (await space.refused(Verb.UPDATE_ONE, upsert, upsert=True)).number == 11000
        assert len(await space.all()) == 4

    async def test_unique_indexes_over_what_is_there(self, space: SpaceCalls) -> None:
        await space.insert({"a": 1}, {"a": 1})
        error = await space.refused(Verb.CREATE_INDEX, {"field": {"a": 1}}, unique=True)
        assert error.number == 11000
        await space.ask(Verb.CREATE_INDEX, {"field": {"a": 1}})

    async def test_indexes(self, space: SpaceCalls) -> None:
        await space.insert({"_id": 1})
        made = await space.ask(Verb.CREATE_INDEX, {"field": {"a": 1, "b": -1}})
        assert made.result == {"name": "a_1_b_-1"}
        named = await space.ask(Verb.CREATE_INDEX, {"field": "c"}, name="mine", unique=True)
        assert named.result == {"name": "mine"}
        listed = await space.ask(Verb.LIST_INDEXES)
        assert {each["name"]: each["key"] for each in listed.result} == {
            "_id_": {"_id": 1},
            "a_1_b_-1": {"a": 1, "b": -1},
            "mine": {"c": 1},
        }
        assert [each.get("unique") for each in listed.result if each["name"] == "mine"] == [True]
        assert listed.affected == 3
        again = await space.ask(Verb.CREATE_INDEX, {"field": {"a": 1, "b": -1}})
        assert again.result == made.result
        for number, options in ((85, {"name": "x"}), (86, {"name": "a_1_b_-1", "unique": True})):
            arguments = {"field": {"a": 1, "b": -1}}
            error = await space.refused(Verb.CREATE_INDEX, arguments, **options)
            assert error.number == number
        for name, number in (("nothing", 27), ("_id_", 72)):
            error = await space.refused(Verb.DROP_INDEX, {"dropIndex": name})
            assert error.number == number
        await space.ask(Verb.DROP_INDEX, {"dropIndex": "mine"})
        assert (await space.ask(Verb.LIST_INDEXES)).affected == 2
        await space.ask(Verb.DROP_INDEX, {"dropIndex": "*"})
        assert (await space.ask(Verb.LIST_INDEXES)).affected == 1
        assert (await space.ask(Verb.LIST_INDEXES, collection="nowhere")).result == []

    async def test_collections(self, space: SpaceCalls) -> None:
        assert (await space.ask(Verb.COLLECTIONS)).result == []
        await space.ask(Verb.CREATE_COLLECTION, collection="b")
        assert (await space.refused(Verb.CREATE_COLLECTION, {}, collection="b")).number == 48
        await space.insert({"_id": 1}, collection="a")
        listed = await space.ask(Verb.COLLECTIONS)
        assert (listed.affected, listed.result) == (2, ["a", "b"])
        await space.ask(Verb.RENAME_COLLECTION, {"newName": "c.d"}, collection="a")
        assert await space.all("c.d") == [{"_id": 1}]
        rename = Verb.RENAME_COLLECTION
        assert (await space.refused(rename, {"newName": "b"}, collection="c.d")).number == 48
        assert (await space.refused(rename, {"newName": "x"}, collection="none")).number == 26
        assert (await space.ask(Verb.DROP_COLLECTION, collection="c.d")).affected == 1
        assert (await space.ask(Verb.DROP_COLLECTION, collection="c.d")).affected == 0
        assert (await space.ask(Verb.COLLECTIONS)).result == ["b"]

    async def test_names_of_the_database_are_refused(self, space: SpaceCalls) -> None:
        for name in ("system.users", "$cmd", "a\0b", "", "a..b"):
            error = await space.refused(Verb.FIND, {"query": {}}, collection=name)
            assert error.number == 73
            rename = {"newName": name}
            await space.insert({}, collection="x")
            error = await space.refused(Verb.RENAME_COLLECTION, rename, collection="x")
            assert error.number == 73
