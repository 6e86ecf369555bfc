"""Users in a document database: collection `users`.

A user's `_id` is a digest of space, provider, app and open id, so that the upsert by it is atomic and no
second index has to keep them unique.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress

from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from runtime.backends.documents_mongodb import Document, durable, translated
from runtime.errors import UnavailableError
from runtime.ids import new_user_id
from runtime.messages import Provider, UserRecord
from runtime.ports import UserRecords

_ATTEMPTS = 3
"""Of an upsert: of several at the same time a server may let all but one fail, and the next try finds it."""


class UsersMongodb(UserRecords):
    """See `UserRecords`. Call `ensure_indexes` once per program start."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._users = durable(database, "users")

    async def ensure_indexes(self) -> None:
        """Make what is missing. Idempotent. Raises UnavailableError."""
        by_user = IndexModel([("space_id", ASCENDING), ("user_id", ASCENDING)], unique=True)
        with translated("make indexes of users"):
            await self._users.create_indexes([by_user])

    async def seen(
        self, space_id: str, provider: Provider, app_id: str, open_id: str, *, now_ms: int
    ) -> UserRecord:
        for _ in range(_ATTEMPTS):
            made: Document = {
                "space_id": space_id,
                "user_id": new_user_id(now_ms),
                "provider": provider.value,
                "app_id": app_id,
                "open_id": open_id,
                "created_ms": now_ms,
            }
            with translated(f"note a user of space {space_id}"), suppress(DuplicateKeyError):
                stored = await self._users.find_one_and_update(
                    {"_id": _identity(space_id, provider, app_id, open_id)},
                    {"$max": {"last_seen_ms": now_ms}, "$setOnInsert": made},
                    upsert=True,
                    return_document=ReturnDocument.AFTER,
                )
                if stored is not None:
                    return _record(stored)
        raise UnavailableError(f"too many noted the same user of space {space_id} at once")

    async def read(self, space_id: str, user_id: str) -> UserRecord | None:
        with translated(f"read a user of space {space_id}"):
            stored = await self._users.find_one({"space_id": space_id, "user_id": user_id})
        return _record(stored) if stored else None

    async def delete_space(self, space_id: str) -> None:
        with translated(f"forget the users of space {space_id}"):
            await self._users.delete_many({"space_id": space_id})


def _identity(*parts: str) -> str:
    """JSON keeps the parts apart, whatever is in them, lone surrogates too."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _record(stored: Document) -> UserRecord:
    return UserRecord(
        space_id=stored["space_id"],
        user_id=stored["user_id"],
        provider=Provider(stored["provider"]),
        app_id=stored["app_id"],
        open_id=stored["open_id"],
        created_ms=stored["created_ms"],
        last_seen_ms=stored["last_seen_ms"],
    )
