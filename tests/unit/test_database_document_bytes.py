"""YUNHAN_DATABASE_DOCUMENT_MAX_BYTES on its way to the database; what is too large is not sent."""

from __future__ import annotations

from typing import Any, cast

import pytest
from pydantic import ValidationError

from runtime.backends.space_documents.arguments import bson_command
from runtime.documents.errors import OBJECT_TOO_LARGE, DatabaseError
from runtime.documents.owner import for_client
from runtime.documents.parse import parse_command
from runtime.documents.rules import Rules, policy_of
from runtime.documents.transactions import Transactions
from runtime.messages import (
    DOCUMENT_BYTES_MAX,
    CommandBounds,
    DocumentAnswer,
    DocumentCommand,
    PolicyName,
)
from runtime.ports import SpaceDocuments
from runtime.services.documents import DocumentService
from runtime.settings import Settings
from runtime.wiring.limits import document_limits
from tests.harness.database_service import roomy

BOUNDS = CommandBounds(documents=1, answer_bytes=1, time_ms=1, document_bytes=1024)


class Port:
    def __init__(self) -> None:
        self.bounds: list[CommandBounds] = []

    async def run(self, _: str, __: DocumentCommand, bounds: CommandBounds) -> DocumentAnswer:
        self.bounds.append(bounds)
        return DocumentAnswer(affected=0)


@pytest.mark.parametrize(
    ("settings", "allowed"),
    [(Settings(), DOCUMENT_BYTES_MAX), (Settings(database_document_max_bytes=2048), 2048)],
    ids=["default", "set"],
)
async def test_the_setting_is_the_bound_of_every_caller(settings: Settings, allowed: int) -> None:
    port = Port()
    service = DocumentService(
        documents=cast(SpaceDocuments, port),
        transactions=cast(Transactions, None),
        limits=document_limits(settings),
        rooms=roomy(),
    )
    insert = {"command": "insertOne", "collection": "c", "doc": {}}
    owners = Rules.of({"c": policy_of(PolicyName.PRIVATE)})
    await service.for_client("mp-1", owners, "ann", insert)
    await service.trusted("mp-1", insert)
    await service.manage("mp-1", '{"command": "insertOne", "collection": "c", "doc": {}}')
    assert [each.document_bytes for each in port.bounds] == [allowed] * 3


def test_it_cannot_be_more_than_the_server_takes() -> None:
    with pytest.raises(ValidationError):
        Settings(database_document_max_bytes=DOCUMENT_BYTES_MAX + 1)


@pytest.mark.parametrize("policy", [PolicyName.PRIVATE, PolicyName.EXTENDED])
@pytest.mark.parametrize(
    ("name", "key"), [("replaceOne", "doc"), ("findOneAndReplace", "replacement")]
)
def test_a_replacement_by_a_client_is_bounded_whatever_it_becomes(
    policy: PolicyName, name: str, key: str
) -> None:
    """Where everybody may write, the database copies the owner: an update by a pipeline."""
    text = '{".read": true, ".write": true}' if policy is PolicyName.EXTENDED else None
    rules = Rules.of({"c": policy_of(policy, text) if text else policy_of(policy)})

    def sent(characters: int) -> DocumentCommand:
        params: dict[str, Any] = {"command": name, "collection": "c", "filter": {}}
        params[key] = {"t": "x" * characters}
        return bson_command(for_client(parse_command(params), rules, "ann"), BOUNDS)

    sent(800)
    with pytest.raises(DatabaseError, match=rf"{name} on collection c: .* bytes as BSON") as caught:
        sent(1024)
    assert caught.value.number == OBJECT_TOO_LARGE
