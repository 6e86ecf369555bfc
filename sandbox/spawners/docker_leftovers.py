"""Takes containers that nobody has off the engine, with what a killed engine forgot about them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from sandbox.api import SandboxError
from sandbox.run_directory import RECLAIMED_MAX, RunDirectory
from sandbox.spawners.docker_engine import Container, DockerEngine
from sandbox.spawners.docker_options import owner_of
from sandbox.spawners.docker_remains import clear_remains

_log = structlog.get_logger(__name__)


async def remove_containers(engine: DockerEngine, containers: Iterable[Container]) -> int:
    """How many there were. Raises SandboxError, after all others were tried."""
    done = await asyncio.gather(
        *(_remove(engine, container) for container in containers), return_exceptions=True
    )
    for error in done:
        if error is not None:
            raise error
    return len(done)


async def reclaim_dead_workers(engine: DockerEngine, directory: RunDirectory) -> int:
    """Remove the containers and then the run directories of dead workers beside `directory`; how many
    containers there were. Raises OSError. Not to be cancelled while it holds a lock of theirs.

    A worker that starts again meanwhile waits for its lock: what is listed here is a dead one's. What
    cannot be removed keeps its directory, by which a later start finds it.
    """
    count, reclaimed = 0, []
    for path in await asyncio.to_thread(directory.others):
        dead = await asyncio.to_thread(directory.take_dead, path)
        if dead is None:
            continue
        try:
            found = await engine.containers_of(owner_of(path))
            count += await remove_containers(engine, found)
            if await asyncio.to_thread(dead.remove):
                reclaimed.append(str(path))
        except SandboxError as error:
            _log.warning("docker_dead_worker_not_removed", run_dir=str(path), reason=str(error))
        finally:
            dead.release()
        if len(reclaimed) >= RECLAIMED_MAX:
            break
    if reclaimed:
        _log.info("run_dirs_of_dead_workers_removed", run_dirs=reclaimed)
    return count


async def remove_unfinished(engine: DockerEngine, name: str, owner: str) -> None:
    """One whose start failed, wherever that was. Idempotent. Raises SandboxError."""
    container_id = await engine.remove_named(name, owner)
    if container_id is not None:
        await _clear(container_id)


async def _remove(engine: DockerEngine, container: Container) -> None:
    await engine.remove(container.id)
    if container.unstarted:
        await _clear(container.id)


async def _clear(container_id: str) -> None:
    cleared = await asyncio.to_thread(clear_remains, container_id)
    if cleared:
        _log.info("docker_remains_cleared", container=container_id[:12], count=cleared)
