"""One rung, started; a neighbour and things of the host that nobody inside may reach."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.api import Spawner
from sandbox.egress.access import EgressAccess
from tests.escape.rungs import RUNGS, default_access, engine_sockets, missing
from tests.escape.sandboxes import Neighbour
from tests.harness.lacking import lacks
from tests.harness.program import default_node

SECRET = "secret-of-the-worker"


@pytest.fixture(params=RUNGS)
def rung(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    lacking = missing(name)
    if lacking is not None:
        lacks(f"this machine has not {lacking}")
    return name


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("e")


@pytest.fixture
def access() -> EgressAccess:
    """What the gates of this test's sandboxes let through."""
    return default_access()


@pytest.fixture
async def spawner(
    rung: str, folder: Path, access: EgressAccess, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Spawner]:
    monkeypatch.setenv("WORKER_SECRET", SECRET)
    spawner = RUNGS[rung](folder, access)
    await spawner.start()
    try:
        yield spawner
    finally:
        await spawner.stop()


@pytest.fixture
async def neighbour(spawner: Spawner, folder: Path) -> AsyncIterator[Neighbour]:
    neighbour = await Neighbour.start(spawner, folder, f"neighbour-{secrets.token_hex(12)}")
    try:
        yield neighbour
    finally:
        await neighbour.stop()


@dataclass(frozen=True, kw_only=True)
class HostThings:
    """`args` tell an attack where they are."""

    args: dict[str, Any]
    listeners: list[socket.socket]
    victim: subprocess.Popen[bytes]

    def reached(self) -> list[str]:
        """What of them was touched."""
        touched = [f"the server {s.getsockname()!r}" for s in self.listeners if _was_reached(s)]
        if self.victim.poll() is not None:
            touched.append("another process of the host")
        return touched


@pytest.fixture
def host(folder: Path) -> Iterator[HostThings]:
    (folder / "secret").write_text(SECRET)
    name = f"escape-{secrets.token_hex(8)}"
    victim = subprocess.Popen(
        [default_node(), "-e", "setInterval(() => {}, 1000)"], stdin=subprocess.DEVNULL
    )
    try:
        with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as abstract:
            tcp.bind(("127.0.0.1", 0))
            tcp.listen(8)
            abstract.bind(f"\0{name}")
            abstract.listen(8)
            args = {
                "secret": SECRET,
                "marker": f"survivor of {folder}",
                "hostFile": str(folder / "secret"),
                "ownFolder": str(folder),
                "workerPid": os.getpid(),
                "victimPid": victim.pid,
                "tcpPort": tcp.getsockname()[1],
                "abstractName": name,
                "hostname": socket.gethostname(),
                "addresses": _own_addresses(),
                "engineSockets": engine_sockets(),
            }
            yield HostThings(args=args, listeners=[tcp, abstract], victim=victim)
    finally:
        victim.kill()
        victim.wait(10)


def _own_addresses() -> list[str]:
    try:
        found = socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        return []
    hosts = {str(address[0]) for *_, address in found}
    return sorted(f"[{host}]" if ":" in host else host for host in hosts)


def _was_reached(listener: socket.socket) -> bool:
    listener.setblocking(False)
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


async def survivors(marker: str) -> list[int]:
    """Processes whose command line has `marker`; they are ended."""
    found = await asyncio.to_thread(_find_processes, f"// {marker}".encode())
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def _find_processes(text: bytes) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if text in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found
