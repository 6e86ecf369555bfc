"""The processes of a program under test: all of them, and the server of its document database."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

from runtime.backends.embedded.login import EmbeddedLogin
from tests.harness.distributed import DistributedProgram
from tests.harness.processes import all_stats
from tests.harness.program import Program

_PARENT = 1
"""Of the fields of `processes.stat_of`."""


def family(program: Program) -> list[int]:
    """Its processes and all that descend from them, whatever group or session they are in: gateway, worker,
    sandboxes and the embedded servers. Empty while it does not run."""
    started = [program.process]
    if isinstance(program, DistributedProgram):
        started += [*(worker.process for worker in program.workers), program.documents.process]
    children: dict[int, list[int]] = {}
    for child, fields in all_stats():
        children.setdefault(int(fields[_PARENT]), []).append(child)
    found = [each.pid for each in started if each is not None and each.poll() is None]
    for pid in found:  # grows meanwhile
        found += children.get(pid, [])
    return found


def kill(pids: Iterable[int]) -> None:
    """SIGKILL in this order; one that is gone is no error."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def database_pid(program: Program) -> int | None:
    """The embedded server that has the spaces' databases; None while none runs."""
    return next((pid for pid, _ in _servers(program)), None)


def database_url(program: Program) -> str:
    """Of that server, with its password. Raises StopIteration while none runs."""
    _, words = next(_servers(program))
    login = EmbeddedLogin(Path(words["--storage-path"]).parent / "password")
    assert login.load()
    return login.url(int(words["--port"]))


def _servers(program: Program) -> Iterator[tuple[int, dict[str, str]]]:
    """With the values of their options."""
    for pid, _ in all_stats():
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            options = dict(itertools.pairwise(words))
            storage = Path(options.get("--storage-path", "/"))
            if storage.is_relative_to(program.data_dir) and "logs" not in storage.parts:
                yield pid, options
