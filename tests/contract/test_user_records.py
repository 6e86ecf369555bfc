"""The contract of user records over every adapter."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from runtime.backends.documents_mongodb import Document
from runtime.backends.users_memory import UsersMemory
from runtime.backends.users_mongodb import UsersMongodb
from runtime.messages import Provider
from runtime.ports import UserRecords
from runtime.testing.user_records import UserRecordsContract

Database = AsyncDatabase[Document]


class TestUsersMemory(UserRecordsContract):
    @pytest.fixture
    def users(self) -> UserRecords:
        return UsersMemory()


@pytest.mark.integration
class TestUsersMongodb(UserRecordsContract):
    @pytest.fixture
    async def users(self, database: Database) -> UserRecords:
        users = UsersMongodb(database)
        await users.ensure_indexes()
        await users.ensure_indexes()
        return users

    @pytest.fixture
    def rivals(
        self, users: UserRecords, rival_databases: Sequence[Database]
    ) -> Sequence[UserRecords]:
        return [UsersMongodb(each) for each in rival_databases]

    async def test_fields_of_a_newer_version_are_ignored(
        self, users: UserRecords, database: Database
    ) -> None:
        user = await users.seen("mp-1", Provider.ALIPAY, "a", "1", now_ms=1)
        await database["users"].update_many({}, {"$set": {"mood": "good"}})
        assert await users.read("mp-1", user.user_id) == user
