"""Tries to get out of a rung's sandboxes before anybody else does: small, harmless, for `yunhan doctor`.

A function of ours reaches for what no function may have. It finds walls that are missing on a machine, not
every hole: that is what tests/escape is for.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.api import (
    Binding,
    Ending,
    Invocation,
    InvocationHost,
    LogLine,
    OutcomeKind,
    SandboxError,
    SandboxSpec,
    Spawner,
)

_FUNCTION = Path(__file__).with_name("wall_probe.js")
_NAME = "walls"
_MEMORY_MB = 256
_TIMEOUT_S = 20.0
_COMMAND_LINE = Path("/proc/self/cmdline")


@dataclass(frozen=True, slots=True, kw_only=True)
class WallReport:
    """How many attempts there were, and what got through, in words."""

    tried: int
    got: Sequence[str]


async def try_walls(spawner: Spawner, run_dir: Path) -> WallReport:
    """Attempt to escape from one sandbox of a started spawner; nothing of it stays.

    `run_dir` is where that spawner keeps its sandboxes' folders. Raises SandboxError when the sandbox
    gives no answer.
    """
    # Readable for everybody: the walls are to hold it back, not its owner's rights.
    with tempfile.TemporaryDirectory(prefix="yunhan-walls-") as name:
        folder = Path(name)
        await asyncio.to_thread(_lay_out, folder)
        with _servers() as servers:
            tcp, abstract = servers
            args = {
                "file": str(folder / "secret"),
                "folder": str(run_dir),
                "commandLine": base64.b64encode(_own_command_line()).decode("ascii"),
                "port": tcp.getsockname()[1],
                "abstract": abstract.getsockname()[1:].decode("ascii"),
            }
            ending = await _run(spawner, folder / "code", args)
            reached = [server for server in servers if _was_reached(server)]
    if ending.kind is not OutcomeKind.OK or ending.value is None:
        raise SandboxError(
            f"the sandbox gave no answer but ended: {ending.kind} {ending.fault or ''}"
        )
    answer = json.loads(ending.value)
    got = [str(each) for each in answer["got"]]
    if reached and not got:
        got.append("a server on this machine")
    return WallReport(tried=int(answer["tried"]), got=got)


async def _run(spawner: Spawner, code_dir: Path, args: dict[str, Any]) -> Ending:
    majors = spawner.node_majors()
    sandbox = await spawner.spawn(
        SandboxSpec(sandbox_id=_NAME, node_major=majors[-1], memory_mb=_MEMORY_MB)
    )
    host = _Nobody()
    try:
        binding = Binding(space_id=_NAME, function=_NAME, deployment_id=_NAME, code_dir=code_dir)
        bound = await sandbox.bind(binding, request_id=_NAME, host=host)
        if bound.kind is not OutcomeKind.OK:
            return bound
        payload = json.dumps(args).encode()
        invocation = Invocation(request_id=_NAME, args=payload, env={}, timeout_s=_TIMEOUT_S)
        return await sandbox.run(invocation, host)
    finally:
        await sandbox.stop()


class _Nobody(InvocationHost):
    """Hears nothing and has nothing to give."""

    def on_log(self, lines: Sequence[LogLine], *, cut: bool) -> None:
        pass

    async def on_call(self, method: str, params: bytes, *, user_id: str | None = None) -> bytes:
        return (
            b'{"success":false,"error":{"code":"Unavailable","message":"a probe has no services"}}'
        )


def _lay_out(folder: Path) -> None:
    folder.chmod(0o755)
    (folder / "secret").write_text("secret")
    (folder / "secret").chmod(0o644)
    code = folder / "code"
    code.mkdir(mode=0o755)
    shutil.copyfile(_FUNCTION, code / "index.js")


@contextlib.contextmanager
def _servers() -> Iterator[tuple[socket.socket, socket.socket]]:
    """One on loopback, one with an abstract address."""
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as abstract:
        tcp.bind(("127.0.0.1", 0))
        abstract.bind(f"\0yunhan-walls-{os.getpid()}-{id(abstract)}")
        for server in (tcp, abstract):
            server.listen(8)
            server.settimeout(0)
        yield tcp, abstract


def _was_reached(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def _own_command_line() -> bytes:
    with contextlib.suppress(OSError):
        return _COMMAND_LINE.read_bytes()
    return b"no such process"
