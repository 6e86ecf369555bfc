"""Process spawners in folders of their own, and functions written on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sandbox.api import (
    Binding,
    Invocation,
    Limits,
    LogLine,
    OutcomeKind,
    Sandbox,
    SandboxSpec,
)
from sandbox.bootstrap_location import bootstrap_dir
from sandbox.spawners.process import ProcessSpawner


def spawner_in(folder: Path, bootstrap: Path | None = None, node_paths: str = "") -> ProcessSpawner:
    return ProcessSpawner(
        run_dir=folder / "run",
        bootstrap_dir=bootstrap or bootstrap_dir(),
        node_paths=node_paths,
    )


def spec(sandbox_id: str, **limits: Any) -> SandboxSpec:
    return SandboxSpec(sandbox_id=sandbox_id, node_major=24, memory_mb=128, limits=Limits(**limits))


def write(path: Path, text: str, *, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def entries(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


class Host:
    def on_log(self, lines: Sequence[LogLine], *, cut: bool) -> None:
        pass

    async def on_call(self, method: str, params: bytes, *, user_id: str | None = None) -> bytes:
        return b"{}"


async def bind_and_run(
    sandbox: Sandbox, folder: Path, script: str, timeout_s: float
) -> OutcomeKind:
    code_dir = folder / "code" / sandbox.spec.sandbox_id
    write(code_dir / "index.js", script)
    binding = Binding(space_id="s", function="f", deployment_id="d", code_dir=code_dir)
    ending = await sandbox.bind(binding, request_id="load", host=Host())
    assert ending.kind is OutcomeKind.OK
    invocation = Invocation(request_id="r", args=b"", env={}, timeout_s=timeout_s)
    return (await sandbox.run(invocation, Host())).kind
