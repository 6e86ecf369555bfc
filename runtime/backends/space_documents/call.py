"""A command on its way to the driver: what each of them needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from runtime.backends.documents_mongodb import Document
from runtime.documents.owner import asked_verb
from runtime.messages import CommandBounds, DocumentCommand


def operation_of(command: DocumentCommand) -> str:
    """The command that the caller sent and its collection, for messages; no values."""
    on = f" on collection {command.collection}" if command.collection else ""
    return f"{asked_verb(command)}{on}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A command of BSON values, and where it is carried out."""

    collection: AsyncCollection[Document]
    command: DocumentCommand
    bounds: CommandBounds
    session: AsyncClientSession | None = None

    @property
    def what(self) -> str:
        """The operation, for messages."""
        return operation_of(self.command)

    @property
    def time_ms(self) -> int:
        return min(
            self.command.options.get("maxTimeMS") or self.bounds.time_ms, self.bounds.time_ms
        )

    def argument(self, name: str) -> Any:
        return self.command.arguments.get(name, {})

    def option(self, name: str) -> Any:
        return self.command.options.get(name)

    def keys(self, name: str) -> list[tuple[str, Any]] | None:
        """`sort` or `hint` in the driver's form."""
        return list((self.option(name) or {}).items()) or None
