"""When the docker rung sees the processes of a container."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.spawners.docker_handle import DockerHandle
from tests.harness.polling import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are seen on Linux")

_NOBODY: Any = None


class NoGuard:
    def add(self, pid: int) -> None: ...
    def discard(self, pid: int) -> None: ...


def own_group() -> str:
    """A control group that the helper is in, too."""
    return Path("/proc/self/cgroup").read_text().splitlines()[0]


@pytest.fixture
async def helper(tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Becomes an init when it is sent a line, as the runtime's helper does after a container's start."""
    init = shutil.copy(shutil.which("sleep") or "", tmp_path / "docker-init")
    process = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", f"read _; exec {init} 60", stdin=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def test_a_container_is_seen_once_its_helper_became_its_init(
    helper: asyncio.subprocess.Process,
) -> None:
    handle = DockerHandle(_NOBODY, own_group(), _NOBODY)
    guard: Any = NoGuard()
    handle.watch(helper.pid, guard)
    try:
        assert not handle.is_seen
        assert not handle.pause()
        assert helper.stdin is not None
        helper.stdin.write(b"\n")
        await until(lambda: handle.is_seen, "the init is seen")
    finally:
        handle.unwatch()
