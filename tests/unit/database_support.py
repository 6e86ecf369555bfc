"""Databases of spaces in memory: administration, counting, export and import, no queries."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from runtime.documents.errors import BAD_VALUE, DUPLICATE_KEY, NAMESPACE_NOT_FOUND, DatabaseError
from runtime.documents.parse import parse_management
from runtime.messages import CommandBounds, DocumentAnswer, DocumentCommand, Verb
from runtime.ports.documents import DocumentTransaction, SpaceDocuments


@dataclass
class FakeCollection:
    """Lines by their `_id`, both as JSON text."""

    lines: dict[str, bytes] = field(default_factory=dict)
    indexes: dict[str, dict[str, Any]] = field(default_factory=dict)


class FakeDatabases(SpaceDocuments):
    """The port, and of `DocumentService` what the management side asks."""

    def __init__(self) -> None:
        self.spaces: dict[str, dict[str, FakeCollection]] = {}
        self.bodies: list[str] = []
        self.open_exports = 0
        self.lost: set[str] = set()
        """Ids whose documents are said to be written and are not."""

    def collection(self, space_id: str, name: str) -> FakeCollection:
        """As it is, or a new one."""
        return self.spaces.setdefault(space_id, {}).setdefault(name, FakeCollection())

    def put(self, space_id: str, name: str, *lines: str) -> None:
        """Documents as lines without end."""
        for line in lines:
            self.collection(space_id, name).lines[_id_of(line.encode())] = line.encode() + b"\n"

    async def manage(self, space_id: str, body: str) -> DocumentAnswer:
        self.bodies.append(body)
        command = parse_management(body)
        return await self.run(
            space_id, command, CommandBounds(documents=1, answer_bytes=1, time_ms=1)
        )

    async def run(
        self, space_id: str, command: DocumentCommand, bounds: CommandBounds
    ) -> DocumentAnswer:
        collections = self.spaces.setdefault(space_id, {})
        if command.verb is Verb.START_TRANSACTION:
            return DocumentAnswer(affected=0, extra={"transactionId": "tx-1"})
        result: Any = None
        if command.verb is Verb.COLLECTIONS:
            result = list(collections)
        elif command.verb is Verb.CREATE_COLLECTION:
            self.collection(space_id, command.collection)
        elif command.verb is Verb.DROP_COLLECTION:
            result = int(collections.pop(command.collection, None) is not None)
        elif command.collection not in collections:
            raise DatabaseError(NAMESPACE_NOT_FOUND, f"no collection {command.collection}")
        else:
            result = _on_one(collections, command)
        affected = result if isinstance(result, int) else len(result or ())
        return DocumentAnswer(affected=affected, result=result)

    async def begin(self, space_id: str) -> DocumentTransaction:
        raise NotImplementedError

    def export(self, space_id: str, collection: str, *, after: str | None) -> AsyncIterator[bytes]:
        return self._export(space_id, collection, after)

    async def _export(
        self, space_id: str, collection: str, after: str | None
    ) -> AsyncIterator[bytes]:
        lines = self.spaces.get(space_id, {}).get(collection, FakeCollection()).lines
        last = None if after is None else _canonical(json.loads(after))
        self.open_exports += 1
        try:
            for key in sorted(lines):
                if last is None or key > last:
                    yield lines[key]
        finally:
            self.open_exports -= 1

    async def load(self, space_id: str, collection: str, lines: Sequence[bytes]) -> int:
        for line in lines:
            try:
                document = json.loads(line)
                key = _canonical(document["_id"])
            except (ValueError, TypeError, KeyError):
                raise DatabaseError(BAD_VALUE, "a line is no document") from None
            if document.get("twin"):
                raise DatabaseError(DUPLICATE_KEY, "E11000")
            if key not in self.lost:
                self.collection(space_id, collection).lines[key] = line + b"\n"
        return len(lines)

    async def drop_space(self, space_id: str) -> None:
        self.spaces.pop(space_id, None)


def _on_one(collections: dict[str, FakeCollection], command: DocumentCommand) -> Any:
    name, arguments = command.collection, command.arguments
    indexes = collections[name].indexes
    match command.verb:
        case Verb.RENAME_COLLECTION:
            collections[arguments["newName"]] = collections.pop(name)
        case Verb.COUNT:
            return len(collections[name].lines)
        case Verb.LIST_INDEXES:
            return [{"v": 2, "key": {"_id": 1}, "name": "_id_"}, *indexes.values()]
        case Verb.CREATE_INDEX:
            made = {"v": 2, "key": arguments["field"], "name": command.options["name"]}
            unique = {"unique": True} if command.options.get("unique") else {}
            indexes[made["name"]] = made | unique
        case _:
            raise AssertionError(command.verb)
    return None


def _id_of(line: bytes) -> str:
    return _canonical(json.loads(line)["_id"])


def _canonical(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
