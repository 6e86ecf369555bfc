"""The command line beside the real actions on databases, over databases in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from structlog.testing import capture_logs

from runtime.errors import YunhanError
from runtime.gateway.management import database_transfer, databases, service_policies
from runtime.gateway.management.parameters import Parameters
from runtime.gateway.management.registry import Action
from tests.unit.cli_support import FakeManagement, RefusalError
from tests.unit.database_support import FakeDatabases
from tests.unit.management_support import Bench

ACTIONS: Mapping[str, Action] = {
    **databases.ACTIONS,
    **database_transfer.ACTIONS,
    **service_policies.ACTIONS,
}


class Program:
    """A program with some spaces. `fail_after`: so many calls of these actions work, then one is refused."""

    def __init__(self, fake: FakeManagement, *space_ids: str) -> None:
        self.bench = Bench()
        self.fail_after: int | None = None
        for space_id in space_ids:
            asyncio.run(self._add(space_id))
        deps = self.bench.deps("http://unused")

        def answer(action: Action, form: dict[str, str]) -> Mapping[str, Any]:
            if self.fail_after is not None:
                self.fail_after -= 1
                if self.fail_after < 0:
                    self.fail_after = None
                    raise RefusalError("InternalServerError", "the database is away", 503)
            try:
                return asyncio.run(_run(action, form))
            except YunhanError as error:
                raise RefusalError(error.code, error.message) from None

        async def _run(action: Action, form: dict[str, str]) -> Mapping[str, Any]:
            with capture_logs():  # they would stand among what the command prints
                return await action(deps, Parameters(form))

        for name, action in ACTIONS.items():
            fake.answers[name] = partial(answer, action)

    @property
    def databases(self) -> FakeDatabases:
        return self.bench.databases

    async def _add(self, space_id: str) -> None:
        await self.bench.add_space(space_id, name=f"space{space_id[-1]}")
