"""The docker rung over an engine of the test's own, which dies and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import docker  # type: ignore[import-untyped]
import pytest

from sandbox.api import OutcomeKind, Sandbox, SandboxError, SandboxSpec
from sandbox.spawners.docker import DockerSpawner
from tests.harness.lacking import lacks
from tests.integration.docker_support import SOURCE, bound, do, make, value

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


class OwnEngine:
    """A dockerd with everything it has below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._group = f"yunhan-test-{os.getpid()}"
        """Of control groups, that its containers' are in."""
        self.socket = root / "docker.sock"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            "dockerd",
            f"--data-root={self._root}/data",
            f"--exec-root={self._root}/exec",
            f"--host=unix://{self.socket}",
            f"--pidfile={self._root}/pid",
            f"--cgroup-parent=/{self._group}",
            "--bridge=none",
            "--iptables=false",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(60):
            while not self._answers():
                assert self._process.returncode is None, "dockerd ended"
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()
        # Its containerd dies with it; where nobody reaps it, the next dockerd would wait for it.
        (self._root / "exec/containerd/containerd.pid").unlink(missing_ok=True)

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()
        data = str(self._root / "data")
        # A killed engine leaves the mount of its data directory on itself.
        while f" {data} " in _mounts():  # os.path.ismount does not see a bind mount
            unmounting = await asyncio.create_subprocess_exec("umount", data)
            assert await unmounting.wait() == 0
        await asyncio.to_thread(_remove_groups, self._group)

    async def remains(self) -> list[str]:
        """What is on this machine of containers that it has not: processes, shims, control groups."""
        known = {container["Id"] for container in await asyncio.to_thread(self._containers)}
        return await asyncio.to_thread(_remains, self._group, str(self._root), known)

    def _containers(self) -> list[dict[str, Any]]:
        client = docker.APIClient(base_url=f"unix://{self.socket}", version="auto", timeout=20)
        try:
            found: list[dict[str, Any]] = client.containers(all=True)
        finally:
            client.close()
        return found

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as knock:
            try:
                knock.settimeout(5)
                knock.connect(str(self.socket))
                knock.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return knock.recv(16).startswith(b"HTTP/1.0 200")
            except OSError:
                return False


def _remains(group: str, root: str, known: set[str]) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_text().replace("\0", " ")
            grouped = f"/{group}/" in (process / "cgroup").read_text()
            if grouped or ("containerd-shim" in command and f"{root}/" in command):
                found.append(f"{command} {(process / 'cgroup').read_text()}")
    for folder, _, _ in os.walk("/sys/fs/cgroup"):
        if f"/{group}/" in folder:
            found.append(folder)
    return [text for text in found if not any(container in text for container in known)]


def _remove_groups(group: str) -> None:
    for folder in Path("/sys/fs/cgroup").glob(f"**/{group}"):
        folder.rmdir()


def _mounts() -> str:
    return Path("/proc/mounts").read_text()


async def spawned_again(spawner: DockerSpawner, folder: Path) -> Sandbox:
    async with asyncio.timeout(30):
        while True:
            try:
                return await bound(spawner, folder, "after")
            except SandboxError:
                await asyncio.sleep(0.1)


def needs_an_engine() -> None:
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        lacks("starting a Docker engine takes root and dockerd (docker.io)")


async def test_what_an_engine_forgot_that_was_killed_while_it_started_containers(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    needs_an_engine()
    folder = tmp_path_factory.mktemp("e")
    engine = OwnEngine(folder)
    spawner = make(folder, docker_host=f"unix://{engine.socket}")
    try:
        await engine.start()
        await spawner.start()
        for round_ in range(3):
            spawns = [
                asyncio.create_task(
                    spawner.spawn(
                        SandboxSpec(sandbox_id=f"r{round_}-{number}", node_major=24, memory_mb=128)
                    )
                )
                for number in range(12)
            ]
            # Some are there, some are being made, some wait.
            await asyncio.wait(spawns, return_when=asyncio.FIRST_COMPLETED)
            await engine.kill()
            await engine.start()
            done, _ = await asyncio.wait(spawns)
            for spawn in done:
                if spawn.exception() is None:
                    await spawn.result().stop()
                else:
                    assert isinstance(spawn.exception(), SandboxError)
            async with asyncio.timeout(30):
                while await spawner.reconcile() or await engine.remains():
                    await asyncio.sleep(0.2)
    finally:
        await spawner.stop()
        await engine.stop()


async def test_an_engine_that_dies_and_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    needs_an_engine()
    folder = tmp_path_factory.mktemp("e")
    (folder / "code").mkdir()
    (folder / "code" / "index.js").write_text(SOURCE)
    engine = OwnEngine(folder)
    spawner = make(folder, docker_host=f"unix://{engine.socket}")
    try:
        await engine.start()
        await spawner.start()
        busy = await bound(spawner, folder, "busy")
        idle = await bound(spawner, folder, "idle")
        doomed = await bound(spawner, folder, "doomed")
        run = asyncio.create_task(do(busy, "never"))
        await engine.kill()

        # warm calls need no engine, nor does stopping one
        assert await value(idle, "count") == 1
        with pytest.raises(SandboxError, match="systemctl start docker"):
            await bound(spawner, folder, "without")
        await asyncio.wait_for(doomed.stop(), 5)
        assert not run.done()

        # a new engine ends the containers of the one that was killed
        await engine.start()
        ending = await asyncio.wait_for(run, 30)
        assert ending.kind is OutcomeKind.SANDBOX_LOST, ending
        after = await spawned_again(spawner, folder)
        assert await value(after, "count") == 1
    finally:
        await spawner.stop()
        await engine.stop()
    assert not (folder / "run").exists()
