"""The control plane contract over every adapter."""

from __future__ import annotations

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from runtime.backends.control_memory import ControlMemory
from runtime.backends.control_mongodb import ControlMongodb
from runtime.backends.documents_mongodb import Document
from runtime.errors import OursError
from runtime.ports import ControlStore
from runtime.testing.control_store import ControlStoreContract, sample_space


class TestControlMemory(ControlStoreContract):
    @pytest.fixture
    def store(self) -> ControlStore:
        return ControlMemory()


class MongodbContract(ControlStoreContract):
    async def test_making_indexes_again_changes_nothing(self, store: ControlStore) -> None:
        assert isinstance(store, ControlMongodb)
        await store.ensure_indexes()

    async def test_text_that_cannot_be_stored_is_an_error_of_ours(
        self, store: ControlStore
    ) -> None:
        with pytest.raises(OursError, match="create space"):
            await store.create_space(sample_space(desc="\ud800"))


@pytest.mark.integration
class TestControlEmbedded(MongodbContract):
    @pytest.fixture
    async def store(self, embedded_database: AsyncDatabase[Document]) -> ControlStore:
        store = ControlMongodb(embedded_database)
        await store.ensure_indexes()
        return store


@pytest.mark.integration
class TestControlMongodb(MongodbContract):
    @pytest.fixture
    async def store(self, mongodb_database: AsyncDatabase[Document]) -> ControlStore:
        store = ControlMongodb(mongodb_database)
        await store.ensure_indexes()
        return store
