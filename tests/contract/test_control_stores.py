"""The control plane contract over every adapter."""

from __future__ import annotations

from pathlib import Path

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from runtime.backends.control_memory import ControlMemory
from runtime.backends.control_mongodb import ControlMongodb
from runtime.backends.documents_embedded import EmbeddedDocuments
from runtime.backends.documents_mongodb import Document, connect
from runtime.errors import DomainTakenError, OursError
from runtime.messages import Function
from runtime.ports import ControlStore
from runtime.testing.control_samples import sample_space, sample_space_at
from runtime.testing.control_store import ControlStoreContract

Database = AsyncDatabase[Document]


class TestControlMemory(ControlStoreContract):
    @pytest.fixture
    def store(self) -> ControlStore:
        return ControlMemory()


@pytest.mark.integration
class TestControlMongodb(ControlStoreContract):
    @pytest.fixture
    async def store(self, database: Database) -> ControlStore:
        store = ControlMongodb(database)
        await store.ensure_indexes()
        return store

    async def test_making_indexes_again_changes_nothing(self, store: ControlStore) -> None:
        assert isinstance(store, ControlMongodb)
        await store.ensure_indexes()

    async def test_text_that_cannot_be_stored_is_an_error_of_ours(
        self, store: ControlStore
    ) -> None:
        with pytest.raises(OursError, match="create space"):
            await store.create_space(sample_space(desc="\ud800"))

    async def test_custom_domains_are_found_without_a_scan(
        self, store: ControlStore, database: Database, url: str
    ) -> None:
        for domain in ("a.example.com", "b.example.com", "", "", ""):
            await store.create_space(sample_space_at(domain))
        seen = FindsSeen()
        async with AsyncMongoClient[Document](url, event_listeners=[seen]) as client:
            assert len(await ControlMongodb(client[database.name]).custom_domains()) == 2
        (find,) = seen.finds
        plan = await database.command("explain", find, verbosity="executionStats")
        assert plan["executionStats"]["totalDocsExamined"] == 2

    async def test_timers_are_found_without_a_scan(
        self, store: ControlStore, database: Database, url: str
    ) -> None:
        for cron in ("0 0 * * * *", "0 1 * * * *", "", "", ""):
            function = Function(name="f", timer_cron=cron)
            await store.create_space(sample_space(functions={"f": function}))
        seen = FindsSeen()
        async with AsyncMongoClient[Document](url, event_listeners=[seen]) as client:
            assert len(await ControlMongodb(client[database.name]).timers()) == 2
        (find,) = seen.finds
        plan = await database.command("explain", find, verbosity="executionStats")
        assert plan["executionStats"]["totalDocsExamined"] == 2

    async def test_timers_that_cannot_be_read_do_not_stop_the_others(
        self, store: ControlStore, database: Database
    ) -> None:
        function = Function(name="f", timer_cron="0 0 * * * *")
        spaces = [sample_space(functions={"f": function}) for _ in range(2)]
        for space in spaces:
            await store.create_space(space)
        damaged = {"$set": {"timers": [{"function": "f"}]}}
        await database["spaces"].update_one({"_id": spaces[0].space_id}, damaged)
        assert [timer.space_id for timer in await store.timers()] == [spaces[1].space_id]


class FindsSeen(CommandListener):
    """The `find` commands that a client sent, as they can be explained."""

    def __init__(self) -> None:
        self.finds: list[Document] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == "find":
            names = ("find", "filter", "projection")
            self.finds.append({name: event.command[name] for name in names})

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


@pytest.mark.integration
async def test_domain_stays_taken_when_the_embedded_server_starts_again(tmp_path: Path) -> None:
    owner, other = sample_space_at("a.example.com"), sample_space()
    async with EmbeddedDocuments(tmp_path, "data") as documents:
        client = connect(documents.url, timeout_s=20)
        async with client:
            store = ControlMongodb(client["control"])
            await store.ensure_indexes()
            await store.create_space(owner)
            await store.create_space(other)
    async with EmbeddedDocuments(tmp_path, "data") as documents:
        client = connect(documents.url, timeout_s=20)
        async with client:
            store = ControlMongodb(client["control"])  # its indexes are not made again
            with pytest.raises(DomainTakenError):
                await store.create_space(sample_space_at("a.example.com"))
            claim = sample_space_at("a.example.com", other.space_id, revision=2)
            with pytest.raises(DomainTakenError):
                await store.replace_space(claim)
            await store.delete_space(owner.space_id)
            await store.replace_space(claim)
            assert await store.read_space(other.space_id) == claim
