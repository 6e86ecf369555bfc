"""The docker rung over an engine of the test's own, which dies and comes back."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from pathlib import Path

import pytest

from sandbox.api import OutcomeKind, Sandbox, SandboxError
from sandbox.spawners.docker import DockerSpawner
from tests.integration.test_docker_spawner import SOURCE, bound, do, make, value

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


class OwnEngine:
    """A dockerd with everything it has below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.socket = root / "docker.sock"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            "dockerd",
            f"--data-root={self._root}/data",
            f"--exec-root={self._root}/exec",
            f"--host=unix://{self.socket}",
            f"--pidfile={self._root}/pid",
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

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as knock:
            try:
                knock.settimeout(5)
                knock.connect(str(self.socket))
                knock.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return knock.recv(16).startswith(b"HTTP/1.0 200")
            except OSError:
                return False


def _mounts() -> str:
    return Path("/proc/mounts").read_text()


async def spawned_again(spawner: DockerSpawner, folder: Path) -> Sandbox:
    async with asyncio.timeout(30):
        while True:
            try:
                return await bound(spawner, folder, "after")
            except SandboxError:
                await asyncio.sleep(0.1)


async def test_an_engine_that_dies_and_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI has to run as root and to install docker.io")
        pytest.skip("starting a Docker engine takes root and dockerd")
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
    assert list((folder / "run").iterdir()) == []
