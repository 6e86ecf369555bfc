"""Which workers there are, in a document database: collection `workers` of the control plane, one each."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo.asynchronous.database import AsyncDatabase

from runtime.backends.documents_mongodb import Document, translated
from runtime.ports import WorkerFacts, WorkerRoster


class RosterMongodb(WorkerRoster):
    """See `WorkerRoster`. As few documents as there are workers, so nothing is indexed."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._workers = database["workers"]

    async def tell(self, facts: WorkerFacts) -> None:
        document = {
            "_id": facts.worker_id,
            "version": facts.version,
            "rung": facts.rung,
            "isolates": facts.isolates,
            "node_majors": list(facts.node_majors),
            "slots": facts.slots,
            "seen_ms": facts.seen_ms,
        }
        with translated(f"tell worker {facts.worker_id}"):
            await self._workers.replace_one({"_id": facts.worker_id}, document, upsert=True)

    async def leave(self, worker_id: str, *, unseen_before_ms: int) -> None:
        with translated(f"forget worker {worker_id}"):
            await self._workers.delete_many({"seen_ms": {"$lt": unseen_before_ms}})
            await self._workers.delete_one({"_id": worker_id})

    async def present(self, *, since_ms: int) -> Sequence[WorkerFacts]:
        with translated("list workers"):
            found = await self._workers.find({"seen_ms": {"$gte": since_ms}}).to_list()
        return [
            WorkerFacts(
                worker_id=each["_id"],
                version=each["version"],
                rung=each["rung"],
                isolates=each["isolates"],
                node_majors=tuple(each["node_majors"]),
                slots=each["slots"],
                seen_ms=each["seen_ms"],
            )
            for each in sorted(found, key=lambda each: str(each["_id"]))
        ]
