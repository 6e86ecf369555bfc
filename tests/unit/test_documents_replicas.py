from __future__ import annotations

from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.read_preferences import Primary

from runtime.backends.documents_mongodb import connect, durable, require_replicas
from runtime.backends.lease_mongodb import LeasesMongodb
from runtime.backends.ledger_mongodb import LedgerMongodb
from runtime.backends.timers_mongodb import TimersMongodb
from runtime.settings import SettingsError


class Told:
    """A client whose server says `hello` so."""

    def __init__(self, hello: dict[str, Any]) -> None:
        self._hello = hello
        self.admin = self

    async def command(self, name: str) -> dict[str, Any]:
        assert name == "hello"
        return self._hello


@pytest.mark.parametrize("hello", [{"setName": "rs0"}, {"msg": "isdbgrid"}])
async def test_replica_sets_and_their_routers_are_taken(hello: dict[str, Any]) -> None:
    await require_replicas(Told(hello))  # type: ignore[arg-type]


async def test_server_that_stands_alone_is_refused_with_what_to_do() -> None:
    with pytest.raises(SettingsError, match="--replSet"):
        await require_replicas(Told({"isWritablePrimary": True}))  # type: ignore[arg-type]


@pytest.mark.parametrize("options", ["w=1&journal=false", "readPreference=secondary", "w=0"])
async def test_what_must_not_be_lost_is_durable_whatever_the_url_says(options: str) -> None:
    client = connect(f"mongodb://localhost/?{options}", timeout_s=1)
    try:
        assert isinstance(client, AsyncMongoClient)
        database = client["a"]
        for jobs in (
            durable(database, "x"),
            LedgerMongodb(database)._jobs,
            LeasesMongodb(database)._leases,
            TimersMongodb(database)._timers,
        ):
            assert jobs.write_concern.document == {"w": "majority", "j": True}
            assert isinstance(jobs.read_preference, Primary)
    finally:
        await client.close()
