"""The whole spawner contract over the process rung once more, on uvloop."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest
import uvloop

from sandbox.api import Spawner
from sandbox.bootstrap_location import bootstrap_dir
from sandbox.spawners.process import ProcessSpawner
from sandbox.testing import SpawnerContract
from sandbox.testing_functions import write_js_functions

pytestmark = pytest.mark.integration

# One value for each parameter that the suite's tests are parametrized with.
PARAMETERS: dict[str, Any] = {"code": 3, "action": "loop"}


class Contract(SpawnerContract):
    def make_spawner(self, folder: Path) -> Spawner:
        write_js_functions(folder / "code")
        return ProcessSpawner(run_dir=folder / "run", bootstrap_dir=bootstrap_dir())

    def code_dir(self, folder: Path, function: str) -> Path:
        return folder / "code" / function


NAMES = [name for name in dir(Contract) if name.startswith("test_")]


def test_the_suite_was_found() -> None:
    assert len(NAMES) > 20


@pytest.mark.parametrize("name", NAMES)
def test_on_uvloop(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("u")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(perform(name, folder))


async def perform(name: str, folder: Path) -> None:
    contract = Contract()
    spawner = contract.make_spawner(folder)
    await spawner.start()
    given = {"spawner": spawner, "folder": folder, **PARAMETERS}
    test = getattr(contract, name)
    try:
        await test(
            **{parameter: given[parameter] for parameter in inspect.signature(test).parameters}
        )
    finally:
        await spawner.stop()
