"""States of timers in a document database: collection `timers`, one document per timer that ever ticked.

Every change advances `seen_ms` or a counter, or is about a timer that was set anew, so these tell one
state from any other: a compare-and-set needs no more in its filter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from pymongo import ASCENDING, IndexModel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from runtime.backends.control_codec import known_fields
from runtime.backends.documents_mongodb import Document, durable, translated
from runtime.ports import TimerKey, TimerState, TimerStore

_COUNTERS = ("fired", "missed", "skipped")


class TimersMongodb(TimerStore):
    """See `TimerStore`. Call `ensure_indexes` once per program start."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._timers = durable(database, "timers")

    async def ensure_indexes(self) -> None:
        """Make what is missing. Idempotent. Raises UnavailableError."""
        with translated("make indexes of timers"):
            await self._timers.create_indexes([IndexModel([("space_id", ASCENDING)])])

    async def states(self, space_id: str | None = None) -> Mapping[TimerKey, TimerState]:
        which: Document = {} if space_id is None else {"space_id": space_id}
        with translated("read the states of timers"):
            documents = await self._timers.find(which).to_list()
        return {
            (each["space_id"], each["function"]): TimerState(**known_fields(TimerState, each))
            for each in documents
        }

    async def replace(self, key: TimerKey, before: TimerState | None, after: TimerState) -> bool:
        space_id, function = key
        with translated(f"note a tick of {function} in space {space_id}"):
            if before is None:
                document = {"_id": _id(key), "space_id": space_id, "function": function}
                try:
                    await self._timers.insert_one({**document, **asdict(after)})
                except DuplicateKeyError:
                    return False
                return True
            result = await self._timers.update_one(_unchanged(key, before), {"$set": asdict(after)})
        return result.matched_count == 1

    async def forget(self, key: TimerKey, state: TimerState) -> None:
        with translated(f"forget the timer of {key[1]} in space {key[0]}"):
            await self._timers.delete_one(_unchanged(key, state))


def _id(key: TimerKey) -> str:
    """Neither part has a slash."""
    return "/".join(key)


def _unchanged(key: TimerKey, state: TimerState) -> Document:
    return {
        "_id": _id(key),
        "set_ms": state.set_ms,
        "seen_ms": state.seen_ms,
        **{name: getattr(state, name) for name in _COUNTERS},
    }
