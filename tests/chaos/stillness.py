"""Counts of a machine at rest: idle sandboxes retired, connections of a moment ago closed."""

from __future__ import annotations

import subprocess
import time

from tests.chaos.rung_program import RungProgram
from tests.chaos.snapshot import Snapshot

IDLE_S = 4
"""After how long the programs of these runs retire an idle sandbox."""
_SETTLE_S = 30.0
_LOOK_S = 0.5


def settled(on_rung: RungProgram) -> Snapshot:
    """The counts of the running program when they do not change any more and one sandbox is ready."""
    deadline = time.monotonic() + _SETTLE_S
    while len(on_rung.sandboxes()) != 1 and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    time.sleep(2 * IDLE_S)
    found = on_rung.machine.snapshot(on_rung.pid)
    while time.monotonic() < deadline:
        time.sleep(_LOOK_S)
        last, found = found, on_rung.machine.snapshot(on_rung.pid)
        if last == found:
            break
    return found


def settled_like(wanted: Snapshot, on_rung: RungProgram, *, program: int | None) -> Snapshot:
    """The counts as soon as they are those wanted, else the last ones. `program` is None when it ended."""
    deadline = time.monotonic() + _SETTLE_S
    while True:
        found = on_rung.machine.snapshot(program)
        if not wanted.difference(found) or time.monotonic() > deadline:
            return found
        time.sleep(_LOOK_S)


def stopped(before: Snapshot, on_rung: RungProgram) -> list[str]:
    """Stop the program; violations if that fails or anything is there that was not `before` its start."""
    try:
        code: int | str = on_rung.program.stop()
    except subprocess.TimeoutExpired as error:
        code = f"nothing for {error.timeout:g} s after SIGTERM, and was killed"
        on_rung.program.kill()
    violations = [f"the program ended with {code}\n{on_rung.program.log()}"] if code != 0 else []
    after = settled_like(before, on_rung, program=None)
    return [
        *violations,
        *(f"after the stop, {difference}" for difference in before.difference(after)),
    ]
