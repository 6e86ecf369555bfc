"""Operations of a case through the product: its database service, as a trusted caller."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from runtime.backends.documents_mongodb import Client
from runtime.backends.space_documents_mongodb import SpaceDocumentsMongodb
from runtime.documents.command_room import CommandRooms
from runtime.documents.errors import DatabaseError
from runtime.documents.transactions import Transactions
from runtime.errors import CallerError
from runtime.services.documents import DocumentService
from runtime.settings import Settings
from runtime.wiring.limits import command_room_bounds, document_limits, transaction_bounds
from tests.published.case import THINGS, Case, Expected, Step
from tests.published.compare import Failure

_TIME_MS: Final = 20_000
"""Instead of the default: no case is about speed."""

_ARGUMENTS: Final[Mapping[str, Mapping[str, str]]] = {
    "aggregate": {"pipeline": "pipeline"},
    "count": {"filter": "query"},
    "distinct": {"fieldName": "key", "filter": "query"},
    "find": {"filter": "query"},
    "findOne": {"filter": "query"},
    "insertOne": {"document": "doc"},
    "insertMany": {"documents": "docs"},
    "updateOne": {"filter": "filter", "update": "update"},
    "updateMany": {"filter": "filter", "update": "update"},
    "replaceOne": {"filter": "filter", "replacement": "doc"},
    "findOneAndUpdate": {"filter": "filter", "update": "update"},
    "findOneAndReplace": {"filter": "filter", "replacement": "replacement"},
    "findOneAndDelete": {"filter": "filter"},
    "deleteOne": {"filter": "filter"},
    "deleteMany": {"filter": "filter"},
}
"""By command: the published name -> that of the SDKs. All others are options."""
_SAME: Final = {"countDocuments": "count"}
_ENDS: Final = {"commit": "commitTransaction", "abort": "abortTransaction"}
_UPDATES: Final = frozenset({"updateOne", "updateMany", "replaceOne"})


def has_service(case: Case) -> bool:
    """Whether the product has all its operations. A caller of ours may open any number of transactions, so
    there is no second beginning of the same one."""
    begun: set[str] = set()
    for step in case.steps:
        if step.do == "begin":
            if step.who in begun:
                return False
            begun.add(step.who)
        elif step.do in _ENDS:
            begun.discard(step.who)
        elif _SAME.get(step.do, step.do) not in _ARGUMENTS:
            return False
    return True


@asynccontextmanager
async def open_service(client: Client, prefix: str) -> AsyncIterator[DocumentService]:
    """As the program makes it by default. `prefix` is that of its databases' names."""
    settings = Settings()
    documents = SpaceDocumentsMongodb(client, prefix=prefix)
    transactions = Transactions(
        documents,
        process_id="0" * 16,
        idle_s=60,
        life_s=60,
        bounds=transaction_bounds(settings),
        waiting_max=settings.database_transaction_waiting_max,
    )
    limits = replace(
        document_limits(settings),
        time_ms=_TIME_MS,
        client_time_max_ms=_TIME_MS,
        trusted_time_max_ms=_TIME_MS,
    )
    async with transactions.open():
        yield DocumentService(
            documents=documents,
            transactions=transactions,
            limits=limits,
            rooms=CommandRooms.of(command_room_bounds(settings)),
        )


@dataclass(slots=True)
class ServiceWay:
    """The transactions of one case in one space; what is left open ends with the service."""

    service: DocumentService
    space_id: str
    _ids: dict[str, str] = field(default_factory=dict)
    _open: set[str] = field(default_factory=set)

    async def do(self, step: Step) -> Any:
        """Raises Failure."""
        if step.do == "begin":
            answer = await self._ask({"command": "startTransaction"})
            self._ids[step.who] = answer["transactionId"]
            self._open.add(step.who)
            return None
        if step.do in _ENDS:
            self._open.discard(step.who)
            return await self._ask({"command": _ENDS[step.do], **self._transaction(step.who)})
        within = self._transaction(step.who) if step.who in self._open else {}
        name = _SAME.get(step.do, step.do)
        if within and name == "find" and isinstance(step.arguments["filter"].get("_id"), int):
            found = await self._run("findOne", step.arguments, within)  # the form that it has there
            return [] if found is None else [found]
        return await self._run(name, step.arguments, within)

    def _transaction(self, who: str) -> dict[str, str]:
        return {"transactionId": self._ids[who]} if who in self._ids else {}

    async def _run(self, name: str, arguments: Mapping[str, Any], within: Mapping[str, str]) -> Any:
        params: dict[str, Any] = {"command": name, "collection": THINGS, **within}
        options: dict[str, Any] = {}
        for key, value in arguments.items():
            if key in _ARGUMENTS[name]:
                params[_ARGUMENTS[name][key]] = value
            elif key == "on":
                params["collection"] = value
            elif key == "returnDocument":
                options["returnNewDocument"] = value == "After"
            else:
                options[key] = value
        return _told(name, await self._ask({**params, "options": options}))

    async def _ask(self, params: Mapping[str, Any]) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = orjson.loads(await self.service.trusted(self.space_id, params))
        except CallerError as error:
            number = error.number if isinstance(error, DatabaseError) else None
            raise Failure(error.message, number) from error
        assert type(answer["affectedDocs"]) is int
        return answer


def seen_by_service(step: Step) -> Expected:
    """What of a published answer the SDKs can see: updates do not tell how many documents matched."""
    if step.do not in _UPDATES or not isinstance(step.expected.gives, Mapping):
        return step.expected
    published = step.expected.gives
    changed = published["modified"] + ("upserted" in published)
    gives = {"changed": changed} | {
        key: each for key, each in published.items() if key == "upserted"
    }
    return Expected(gives, step.expected.fails)


def _told(name: str, answer: Mapping[str, Any]) -> Any:
    result, affected = answer["result"], answer["affectedDocs"]
    if name in _UPDATES:
        return {"changed": affected, **({"upserted": result["upsertedId"]} if result else {})}
    if name.startswith("delete"):
        return affected
    if name == "insertOne":
        return result["insertedId"]
    if name == "insertMany":
        assert result == {str(index): each for index, each in enumerate(answer["insertedIds"])}
        return answer["insertedIds"]
    return result
