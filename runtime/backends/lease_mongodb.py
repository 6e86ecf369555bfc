"""Leases in a document database: collection `leases`, one document per lease under its name."""

from __future__ import annotations

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from runtime.backends.documents_mongodb import Document, durable, translated
from runtime.ports import LeaseMark, LeaseStore


class LeasesMongodb(LeaseStore):
    """See `LeaseStore`. A change is one update whose filter is the mark before it."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._leases = durable(database, "leases")

    async def read(self, name: str) -> LeaseMark | None:
        with translated(f"read lease {name}"):
            document = await self._leases.find_one({"_id": name})
        if document is None:
            return None
        return LeaseMark(holder=str(document["holder"]), number=int(document["number"]))

    async def change(self, name: str, before: LeaseMark | None, holder: str) -> LeaseMark | None:
        after = LeaseMark(holder=holder, number=before.number + 1 if before else 1)
        wanted = {"holder": after.holder, "number": after.number}
        with translated(f"change lease {name}"):
            if before is None:
                try:
                    await self._leases.insert_one({"_id": name, **wanted})
                except DuplicateKeyError:
                    return None
                return after
            result = await self._leases.update_one(
                {"_id": name, "holder": before.holder, "number": before.number}, {"$set": wanted}
            )
        return after if result.matched_count else None
