"""What workers that were killed left on the engine: whoever starts beside them removes it, and no more."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from sandbox.api import Sandbox, SandboxError
from sandbox.bootstrap_location import bootstrap_dir
from sandbox.run_directory import RunDirectory
from sandbox.spawners.docker import DockerSpawner
from sandbox.spawners.docker_build import ensure_images
from sandbox.spawners.docker_engine import Container, DockerEngine
from sandbox.spawners.docker_leftovers import reclaim_dead_workers
from sandbox.spawners.docker_options import (
    owner_of,
)
from sandbox.spawners.process import ProcessSpawner
from tests.integration.docker_support import (
    bound,
    containers,
    engine_client,
    function_folder,
    killed_worker,
    make,
    started,
    value,
)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", autouse=True)
def engine() -> Iterator[Any]:
    with engine_client() as client:
        yield client


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return function_folder(tmp_path_factory.mktemp("s"))


async def test_a_killed_worker_leaves_nothing_that_runs_nor_after_the_next_start(
    folder: Path, engine: Any
) -> None:
    # Only root may kill a process of another user when the worker is gone; what is not busy sees its
    # channel closed and ends by itself.
    action = "spin" if os.geteuid() == 0 else "never"
    await killed_worker(folder, action)
    [container] = containers(engine, folder)
    await asyncio.to_thread(engine.wait, container, timeout=10)
    async with started(folder):
        assert containers(engine, folder) == []


def beside(dead: Path, **more: Any) -> DockerSpawner:
    """A worker whose run directory is beside that of the one at `dead`."""
    return DockerSpawner(
        run_dir=dead / "other",
        views_dir=dead / "other-views",
        bootstrap_dir=bootstrap_dir(),
        **more,
    )


async def test_a_worker_that_starts_again_beside_a_starting_one_keeps_its_containers(
    folder: Path, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await killed_worker(folder)
    [left] = containers(engine, folder)
    again = make(folder)
    kept: list[Sandbox] = []

    async def restart_first(*args: Any, **more: Any) -> Any:
        """The other worker starts, and starts a container, while this one prepares its images."""
        monkeypatch.setattr("sandbox.spawners.docker.ensure_images", ensure_images)
        assert left not in containers(engine, folder)
        await again.start()
        kept.append(await bound(again, folder))
        return await ensure_images(*args, **more)

    monkeypatch.setattr("sandbox.spawners.docker.ensure_images", restart_first)
    starting = beside(folder)
    try:
        await starting.start()
        assert await value(kept[0], "count") == 1
        assert len(containers(engine, folder)) == 1
    finally:
        await starting.stop()
        await again.stop()


class ListsOnly:
    """An engine with one container of any owner; `during` is called while it is removed."""

    def __init__(self, during: Callable[[], None]) -> None:
        self.asked: list[str] = []
        self._during = during

    async def containers_of(self, owner: str) -> list[Container]:
        self.asked.append(owner)
        return [Container(id="a" * 64, name="x", running=False, unstarted=False)]

    async def remove(self, _: str) -> None:
        self._during()


async def test_nobody_moves_in_until_a_dead_workers_containers_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.run_directory._LOCK_WAIT_S", 0.0)
    first = RunDirectory(tmp_path / "first", "docker")
    first.acquire()
    mine = RunDirectory(tmp_path / "mine", "docker")
    mine.acquire()
    refused: list[SandboxError] = []

    def move_in() -> None:
        with pytest.raises(SandboxError, match="another live worker") as caught:
            RunDirectory(tmp_path / "first", "docker").acquire()
        refused.append(caught.value)

    fake = ListsOnly(move_in)
    assert await reclaim_dead_workers(cast("DockerEngine", fake), mine) == 0
    assert fake.asked == []  # a live one's are not even listed
    first.release(keep=True)
    assert await reclaim_dead_workers(cast("DockerEngine", fake), mine) == 1
    assert fake.asked == [owner_of(tmp_path / "first")]
    assert len(refused) == 1
    assert not (tmp_path / "first").exists()
    mine.release()


async def test_containers_that_cannot_be_removed_keep_their_workers_directory(
    tmp_path: Path,
) -> None:
    first = RunDirectory(tmp_path / "first", "docker")
    first.acquire()
    first.release(keep=True)
    mine = RunDirectory(tmp_path / "mine", "docker")
    mine.acquire()

    def refuse() -> None:
        raise SandboxError("the engine does not want to.")

    assert await reclaim_dead_workers(cast("DockerEngine", ListsOnly(refuse)), mine) == 0
    assert (tmp_path / "first" / "worker" / "lock").exists()
    assert await reclaim_dead_workers(cast("DockerEngine", ListsOnly(lambda: None)), mine) == 1
    assert not (tmp_path / "first").exists()
    mine.release()


async def test_what_a_dead_worker_left_is_found_after_starts_without_an_engine(
    folder: Path, engine: Any
) -> None:
    await killed_worker(folder)
    away = f"unix://{folder}/no.sock"
    for spawner in (beside(folder, docker_host=away), make(folder, docker_host=away)):
        with pytest.raises(SandboxError, match="systemctl start docker"):
            await spawner.start()
        assert (folder / "run").exists()
    assert not (folder / "other").exists()  # that one was new
    # Nor does another rung remove it, beside it or in its place.
    for name in ("third", "run"):
        local = ProcessSpawner(run_dir=folder / name, bootstrap_dir=bootstrap_dir())
        await local.start()
        await local.stop()
        assert (folder / "run").exists()
    assert not (folder / "third").exists()
    assert len(containers(engine, folder)) == 1
    living = beside(folder)
    await living.start()
    try:
        assert containers(engine, folder) == []
        assert not (folder / "run").exists()
    finally:
        await living.stop()
