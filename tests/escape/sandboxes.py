"""Sandboxes bound to the scripts of `attacks/`, and what such a script says about itself.

A script returns `{did: {what: count}, got: [...]}`: what it tried, and what it got hold of. One that may
not live to return says the same earlier, in log lines `did {...}` and `got [...]`.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.api import (
    Binding,
    Ending,
    Invocation,
    OutcomeKind,
    Sandbox,
    SandboxSpec,
    Spawner,
)
from sandbox.node_sandbox import NodeSandbox
from sandbox.sandbox_egress import EGRESS
from sandbox.testing_functions import RecordingHost

ATTACKS = Path(__file__).parent / "attacks"
MEMORY_MB = 128


@dataclass(kw_only=True)
class Findings:
    """What an attack did and got, however it ended."""

    did: dict[str, int] = field(default_factory=dict)
    got: list[str] = field(default_factory=list)


def findings(ending: Ending, texts: Sequence[str]) -> Findings:
    """From its log lines and, if there is one, its result."""
    found = Findings()
    for text in texts:
        word, _, rest = text.partition(" ")
        if word == "did":
            found.did.update(json.loads(rest))
        elif word == "got":
            found.got += json.loads(rest)
    if ending.kind is OutcomeKind.OK and ending.value is not None:
        told = json.loads(ending.value)
        found.did.update(told["did"])
        found.got += told["got"]
    return found


async def open_sandbox(
    spawner: Spawner,
    folder: Path,
    name: str,
    script: str,
    *,
    probe: bytes = b"",
    memory_mb: int = MEMORY_MB,
    heard: RecordingHost | None = None,
) -> Sandbox:
    """A sandbox of its own, bound to the script. `probe` is an executable beside it."""
    code_dir = folder / name
    code_dir.mkdir()
    shutil.copyfile(ATTACKS / f"{script}.js", code_dir / "index.js")
    if probe:
        (code_dir / "probe").write_bytes(probe)
        (code_dir / "probe").chmod(0o755)
    spec = SandboxSpec(sandbox_id=name, node_major=24, memory_mb=memory_mb)
    sandbox = await spawner.spawn(spec)
    binding = Binding(space_id="mp-s", function=name, deployment_id="d", code_dir=code_dir)
    bound = await sandbox.bind(binding, request_id="load", host=heard or RecordingHost())
    assert bound.kind is OutcomeKind.OK, bound
    return sandbox


async def invoke(
    sandbox: Sandbox,
    args: object,
    host: RecordingHost | None = None,
    *,
    request_id: str = "req",
    timeout_s: float = 20,
) -> Ending:
    """One invocation; what it logs goes to `host`."""
    invocation = Invocation(
        request_id=request_id, args=json.dumps(args).encode(), env={}, timeout_s=timeout_s
    )
    return await sandbox.run(invocation, host or RecordingHost())


async def assert_innocent_answers(spawner: Spawner, folder: Path) -> None:
    """A function of somebody else's, called for the first time, and then again."""
    heard = RecordingHost()
    shutil.rmtree(folder / "innocent", ignore_errors=True)
    sandbox = await open_sandbox(spawner, folder, "innocent", "innocent", heard=heard)
    try:
        for _ in range(2):
            ending = await invoke(sandbox, {}, heard)
            assert (ending.kind, ending.value) == (OutcomeKind.OK, b'"fine"')
    finally:
        await sandbox.stop()
    assert heard.lines == []
    assert heard.calls == []


class Neighbour:
    """Somebody else's function that is there meanwhile. It keeps `token` in its memory and its files."""

    def __init__(
        self, sandbox: Sandbox, token: str, pid: int, *, files: Sequence[Path], gate: Path
    ) -> None:
        self._sandbox = sandbox
        self.token = token
        self.files = files
        """By their paths on the host."""
        self.gate = gate
        """Its socket to the network, where it has one."""
        self.pid = pid
        """As it sees itself: only on a rung without walls somebody else sees the same."""

    @classmethod
    async def start(cls, spawner: Spawner, folder: Path, token: str) -> Neighbour:
        sandbox = await open_sandbox(spawner, folder, "neighbour", "resident")
        heard = RecordingHost()
        ending = await invoke(sandbox, {"token": token}, heard)
        assert ending.kind is OutcomeKind.OK, ending
        assert ending.value is not None
        told = json.loads(ending.value)
        # Without markers in both places the attack would look for nothing.
        assert told["files"], "the neighbour could write nothing"
        assert isinstance(sandbox, NodeSandbox)
        own = sandbox._folder
        assert own is not None
        files = [own, folder / "neighbour"]
        if spawner.isolates:
            files.append(folder / "views" / own.name)
        # Where nothing is, nothing could be found.
        assert all(file.is_dir() for file in files), files
        gate = own / EGRESS
        assert gate.is_socket() is spawner.isolates
        return cls(sandbox, token, told["pid"], files=files, gate=gate)

    async def assert_unharmed(self) -> None:
        """It answers, and finds its files as it left them."""
        async with asyncio.timeout(20):
            heard = RecordingHost()
            ending = await invoke(self._sandbox, {}, heard, request_id="again")
        assert ending.kind is OutcomeKind.OK, ending
        assert ending.value is not None
        told = json.loads(ending.value)
        assert told["intact"] is True, told
        assert heard.lines == []
        assert heard.calls == []

    async def stop(self) -> None:
        await self._sandbox.stop()
