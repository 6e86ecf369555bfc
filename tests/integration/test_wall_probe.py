"""The probe of `yunhan doctor` gets nothing where walls stand, and notices each one that is missing."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.cli.doctor_findings import State
from runtime.cli.doctor_rungs import check_rung
from runtime.settings import load_settings
from sandbox import landlock_plan, wall_probe
from sandbox.api import SandboxError, Spawner
from sandbox.bootstrap_location import bootstrap_dir
from sandbox.bubblewrap_command import bubblewrap_arguments
from sandbox.egress.access import EgressAccess
from sandbox.egress.policy import EgressPolicy
from sandbox.landlock_privileges import check_privileges
from sandbox.landlock_rules import landlock_abi
from sandbox.spawners import bubblewrap
from sandbox.spawners.bubblewrap import BubblewrapSpawner
from sandbox.spawners.landlock import LandlockSpawner
from sandbox.spawners.process import ProcessSpawner
from sandbox.wall_probe import WallReport, try_walls
from tests.harness.lacking import lacks

pytestmark = pytest.mark.integration


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("w")


def walled(kind: type[BubblewrapSpawner | LandlockSpawner], folder: Path) -> Spawner:
    lacking = None
    try:
        if kind is LandlockSpawner:
            check_privileges()
            landlock_abi()
        elif shutil.which("bwrap") is None:
            lacking = "bubblewrap is not installed"
    except SandboxError as error:
        lacking = str(error)
    if lacking is not None:
        lacks(lacking)
    return kind(
        run_dir=folder / "run",
        views_dir=folder / "views",
        bootstrap_dir=bootstrap_dir(),
        egress=EgressAccess(policy=EgressPolicy.from_text()),
    )


async def report(spawner: Spawner, folder: Path) -> WallReport:
    await spawner.start()
    try:
        return await try_walls(spawner, folder / "run")
    finally:
        await spawner.stop()


@pytest.mark.parametrize("kind", [BubblewrapSpawner, LandlockSpawner])
async def test_nothing_gets_through_where_walls_stand(
    kind: type[BubblewrapSpawner | LandlockSpawner], folder: Path
) -> None:
    told = await report(walled(kind, folder), folder)
    assert told.got == []
    assert told.tried > 10


async def test_every_attempt_succeeds_without_walls(folder: Path) -> None:
    told = await report(
        ProcessSpawner(run_dir=folder / "run", bootstrap_dir=bootstrap_dir()), folder
    )
    ours_only = {"capabilities", "the kernel's settings", "the root folder, to write"}
    if platform.system() != "Linux":
        pytest.skip("some attempts are about Linux")
    expected = told.tried - (0 if os.geteuid() == 0 else len(ours_only))
    assert len(told.got) == expected, told


def more_arguments(*more: str) -> Callable[..., bytes]:
    """For bubblewrap, behind all others."""

    def make(**options: Any) -> bytes:
        return bubblewrap_arguments(**options) + b"".join(each.encode() + b"\0" for each in more)

    return make


@pytest.mark.parametrize(
    ("broken", "got"),
    [
        (("--share-net",), "a server on this machine, from a process of its own"),
        (("--share-net",), "an abstract socket of this machine"),
        (("--ro-bind", "/tmp", "/tmp"), "a file of this machine"),
    ],
)
async def test_a_wall_of_bubblewrap_that_is_missing_is_noticed(
    broken: tuple[str, ...], got: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    monkeypatch.setattr(bubblewrap, "bubblewrap_arguments", more_arguments(*broken))
    assert got in (await report(walled(BubblewrapSpawner, folder), folder)).got


async def test_a_wall_of_landlock_that_is_missing_is_noticed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(landlock_plan._OPTIONAL_NAMESPACES, "net", 0)
    told = await report(walled(LandlockSpawner, folder), folder)
    assert "a server on this machine, from a process of its own" in told.got


async def test_a_rung_with_a_hole_is_refused_by_doctor(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walled(BubblewrapSpawner, folder)
    monkeypatch.setattr(bubblewrap, "bubblewrap_arguments", more_arguments("--share-net"))
    settings = load_settings({"YUNHAN_SANDBOX": "bubblewrap"})
    finding, rung = await asyncio.to_thread(check_rung, settings)
    assert rung == "bubblewrap"
    assert finding.state is State.PROBLEM
    assert "got hold of" in finding.text
    assert "a server on this machine" in finding.text


async def test_a_sandbox_that_gives_no_answer_is_no_wall(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = folder / "silent.js"
    silent.write_text("module.exports = () => process.exit(0)")
    monkeypatch.setattr(wall_probe, "_FUNCTION", silent)
    with pytest.raises(SandboxError, match="gave no answer"):
        await report(walled(BubblewrapSpawner, folder), folder)
