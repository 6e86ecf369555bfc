"""Every rung of isolation that runs without privileges, held to the spawner contract."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.api import LogLevel, Spawner
from sandbox.bootstrap_location import bootstrap_dir
from sandbox.spawners.bubblewrap import BubblewrapSpawner
from sandbox.spawners.memory import MemoryContext, MemorySpawner
from sandbox.spawners.process import ProcessSpawner
from sandbox.testing import SpawnerContract
from sandbox.testing_functions import INVOKE_METHOD, write_js_functions


@pytest.mark.integration
class TestProcessSpawner(SpawnerContract):
    def make_spawner(self, folder: Path) -> Spawner:
        write_js_functions(folder / "code")
        return ProcessSpawner(run_dir=folder / "run", bootstrap_dir=bootstrap_dir())

    def code_dir(self, folder: Path, function: str) -> Path:
        return folder / "code" / function


@pytest.mark.integration
class TestBubblewrapSpawner(SpawnerContract):
    use_cgroups = True

    @pytest.fixture(autouse=True)
    def bubblewrap(self) -> None:
        if shutil.which("bwrap") is None:
            assert not os.environ.get("CI"), "CI has to have bubblewrap"
            pytest.skip("bubblewrap is not installed (apt-get install bubblewrap)")

    def make_spawner(self, folder: Path) -> Spawner:
        write_js_functions(folder / "code")
        return BubblewrapSpawner(
            run_dir=folder / "run",
            views_dir=folder / "views",
            bootstrap_dir=bootstrap_dir(),
            use_cgroups=self.use_cgroups,
        )

    def code_dir(self, folder: Path, function: str) -> Path:
        return folder / "code" / function


class TestBubblewrapSpawnerWithoutCgroups(TestBubblewrapSpawner):
    use_cgroups = False


# What `actions` of JS_FUNCTIONS does, for a rung without Node.


class PurposeError(Exception):
    code = "E_PURPOSE"


PurposeError.__name__ = "TypeError"


def count(context: MemoryContext) -> int:
    context.sandbox.state["count"] = context.sandbox.state.get("count", 0) + 1
    return int(context.sandbox.state["count"])


def throw(context: MemoryContext) -> None:
    raise PurposeError("broken on purpose")


def log(context: MemoryContext) -> None:
    for level, text in zip(LogLevel, ("one", "two", "three", "four"), strict=True):
        context.log(text, level)


def flood(context: MemoryContext) -> None:
    for i in range(5000):
        context.log(f"line {i}")


async def call(context: MemoryContext, user_id: str | None = None) -> Any:
    params = {"functionTarget": "gate", "functionArgs": context.args}
    return (await context.call(INVOKE_METHOD, params, user_id=user_id))["data"]


async def leave(context: MemoryContext) -> str:
    context.begin_call(INVOKE_METHOD, {"functionTarget": "never", "functionArgs": {}})
    await context.call(INVOKE_METHOD, {"functionTarget": "gate", "functionArgs": {}})
    return "left"


def load_throws(context: MemoryContext) -> None:
    raise RuntimeError("broken while loading")


ACTIONS: dict[str, Callable[[MemoryContext], Any]] = {
    "echo": lambda context: context.args,
    "env": lambda context: context.env,
    "nothing": lambda context: None,
    "count": count,
    "throw": throw,
    "log": log,
    "flood": flood,
    "exit": lambda context: context.exit(context.args["code"]),
    "never": MemoryContext.never,
    "loop": MemoryContext.never,
    "cycle": lambda context: object(),
    "large": lambda context: "x" * context.args["bytes"],
    "call": call,
    "callAs": lambda context: call(context, "user-7"),
    "leave": leave,
}


class TestMemorySpawner(SpawnerContract):
    def make_spawner(self, folder: Path) -> Spawner:
        spawner = MemorySpawner()
        spawner.functions["actions"] = lambda context: ACTIONS[context.args["do"]](context)
        spawner.loads["load_throws"] = load_throws
        spawner.loads["load_loops"] = MemoryContext.never
        return spawner

    def code_dir(self, folder: Path, function: str) -> Path:
        return folder
