"""What the docker rung may leave on an engine and a machine, and who removes it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker  # type: ignore[import-untyped]
import pytest

from sandbox.api import SandboxError, SandboxSpec
from sandbox.bootstrap_location import bootstrap_dir
from sandbox.host_process import HostProcess
from sandbox.orphan_guard import OrphanGuard
from sandbox.spawners.docker_engine import DockerEngine
from sandbox.spawners.docker_options import IMAGE_LABEL
from tests.integration.docker_support import (
    bound,
    containers,
    engine_client,
    function_folder,
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


def own_bootstrap(folder: Path) -> Path:
    """A copy that gives an image of the test's own."""
    copy = folder / "bootstrap"
    shutil.copytree(bootstrap_dir(), copy)
    (copy / "version.mjs").write_text(f"// {folder}")
    return copy


def groups_open() -> int:
    """Files of control groups and processes that this one has open."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(descriptor.readlink())
            count += target.startswith("/sys/fs/cgroup") or "pidfd" in target
    return count


def sockets_open() -> int:
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += "socket:" in str(descriptor.readlink())
    return count


def image_tags(engine: Any) -> set[str]:
    """Of the images that are ours."""
    images = engine.images(filters={"label": IMAGE_LABEL})
    return {tag for image in images for tag in image["RepoTags"] or []}


# --- leftovers ------------------------------------------------------------------------------------


async def test_nothing_is_left_after_stop(folder: Path, engine: Any) -> None:
    async with started(folder) as spawner:
        for sandbox_id in ("one", "two"):
            await bound(spawner, folder, sandbox_id)
        assert len(containers(engine, folder)) == 2
    assert containers(engine, folder) == []
    assert not (folder / "run").exists()
    assert list((folder / "views").iterdir()) == []


async def test_descriptors_do_not_grow_with_the_number_of_containers(folder: Path) -> None:
    # The SDK alone would keep up to 25 connections per thread: one per path, so per container.
    async with started(folder) as spawner:
        counts = []
        for number in range(30):
            spec = SandboxSpec(sandbox_id=f"s{number}", node_major=24, memory_mb=128)
            await (await spawner.spawn(spec)).stop()
            counts.append(sockets_open())
        # one per thread of the engine's pools, the events, a knock, our own of the loop
        assert max(counts) <= counts[4] + 6, counts


async def test_old_images_are_removed_and_one_that_is_used_is_kept(
    folder: Path, engine: Any
) -> None:
    bootstrap = folder / "bootstrap"
    shutil.copytree(bootstrap_dir(), bootstrap)

    holders: list[str] = []
    made: dict[str, str] = {}
    tags: set[str] = set()
    try:
        for name in ("used", "old", "new"):
            (bootstrap / "version.mjs").write_text(f"// {name} {folder}")
            async with started(folder, bootstrap_dir=bootstrap) as spawner:
                sandbox = await bound(spawner, folder)
                [found] = containers(engine, folder)
                config = await asyncio.to_thread(engine.inspect_container, found)
                made[name] = str(config["Config"]["Image"])
                if name == "used":
                    held = {"Image": made[name], "Cmd": ["/x"]}
                    holder = await asyncio.to_thread(engine.create_container_from_config, held)
                    holders.append(holder["Id"])
                # While its sandbox holds it: other tests' spawners remove what nobody uses.
                assert sandbox.alive
                tags = image_tags(engine)
        assert {made["used"], made["new"]} <= tags
        assert made["old"] not in tags
    finally:
        for holder in holders:
            engine.remove_container(holder)
        for tag in made.values():
            with contextlib.suppress(docker.errors.NotFound):
                engine.remove_image(tag)


async def test_an_image_that_somebody_removed_is_built_again(folder: Path, engine: Any) -> None:
    async with started(folder, bootstrap_dir=own_bootstrap(folder)) as spawner:
        sandbox = await bound(spawner, folder)
        [found] = containers(engine, folder)
        tag = (await asyncio.to_thread(engine.inspect_container, found))["Config"]["Image"]
        await sandbox.stop()
        with contextlib.suppress(docker.errors.NotFound):  # another test's spawner was quicker
            await asyncio.to_thread(engine.remove_image, tag)
        assert (await bound(spawner, folder, "two")).alive
    with contextlib.suppress(docker.errors.NotFound):
        engine.remove_image(tag)


async def test_reconcile_removes_strangers_and_leaves_ours(folder: Path, engine: Any) -> None:
    async with started(folder) as spawner:
        sandbox = await bound(spawner, folder)
        [ours] = containers(engine, folder)
        config = await asyncio.to_thread(engine.inspect_container, ours)
        stranger = {
            "Image": config["Config"]["Image"],
            "Cmd": ["/usr/local/bin/node", "-e", "setInterval(() => {}, 1e6)"],
            "Labels": config["Config"]["Labels"],
            "HostConfig": {"NetworkMode": "none"},
        }
        made = await asyncio.to_thread(engine.create_container_from_config, stranger)
        await asyncio.to_thread(engine.start, made["Id"])
        assert await spawner.reconcile() == 1
        assert containers(engine, folder) == [ours]
        assert await value(sandbox, "count") == 1


async def test_many_starts_at_once_and_none_is_left_when_they_are_cancelled(
    folder: Path, engine: Any
) -> None:
    async with started(folder) as spawner:
        specs = [SandboxSpec(sandbox_id=f"s{i}", node_major=24, memory_mb=128) for i in range(10)]
        spawns = [asyncio.create_task(spawner.spawn(spec)) for spec in specs]
        await spawns[0]
        for spawn in spawns[5:]:
            spawn.cancel()
        await asyncio.wait(set(spawns))
        alive = [spawn.result() for spawn in spawns if not spawn.cancelled()]
        assert len(alive) >= 5
        assert all(sandbox.alive for sandbox in alive)
        assert len(containers(engine, folder)) == len(alive)
        assert await spawner.reconcile() == 0
        assert all(sandbox.alive for sandbox in alive)
    assert containers(engine, folder) == []


async def test_a_watch_that_fails_leaves_nothing_open(
    folder: Path, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise SandboxError("no guard today.")

    async with started(folder) as spawner:
        await (await bound(spawner, folder)).stop()
        before = groups_open()
        with monkeypatch.context() as patch:
            patch.setattr(OrphanGuard, "add", fail)
            patch.setattr(HostProcess, "leads_group", True)
            if os.geteuid() == 0:  # else the process is not seen, nor guarded
                with pytest.raises(SandboxError, match="no guard"):
                    await bound(spawner, folder, "two")
        assert groups_open() == before
        assert containers(engine, folder) == []


async def test_an_image_that_is_built_again_takes_no_other_worker_its_own(
    folder: Path, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    removals: list[frozenset[str]] = []

    async def note(_: DockerEngine, current: Any) -> list[str]:
        removals.append(frozenset(current))
        return []

    monkeypatch.setattr(DockerEngine, "remove_old_images", note)
    async with started(folder, bootstrap_dir=own_bootstrap(folder)) as spawner:
        sandbox = await bound(spawner, folder)
        [found] = containers(engine, folder)
        tag = (await asyncio.to_thread(engine.inspect_container, found))["Config"]["Image"]
        await sandbox.stop()
        with contextlib.suppress(docker.errors.NotFound):  # another test's spawner was quicker
            await asyncio.to_thread(engine.remove_image, tag)
        assert (await bound(spawner, folder, "two")).alive
    with contextlib.suppress(docker.errors.NotFound):
        engine.remove_image(tag)
    assert len(removals) == 1


async def test_comparisons_with_the_engine_go_on_after_one_that_failed_in_a_new_way(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed, again = asyncio.Event(), asyncio.Event()
    list_containers = DockerEngine.containers_of

    async def fail_once(engine: DockerEngine, owner: str) -> Any:
        if not failed.is_set():
            failed.set()
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "of somebody's")
        again.set()
        return await list_containers(engine, owner)

    async with started(folder, reconcile_s=0.01):
        monkeypatch.setattr(DockerEngine, "containers_of", fail_once)
        await asyncio.wait_for(again.wait(), 10)
