"""A program on one rung in folders of its own, with an engine of its own where the rung needs one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.engine import Engine
from tests.chaos.snapshot import Machine
from tests.harness.program import Program

SLOTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class RungProgram:
    """`program` is not started yet; `engine` runs."""

    program: Program
    machine: Machine
    engine: Engine | None

    @property
    def pid(self) -> int:
        """Of the running program."""
        assert self.program.process is not None
        return self.program.process.pid

    def sandboxes(self) -> list[int]:
        """The Node.js processes of the running program's sandboxes."""
        return self.machine.sandboxes(self.pid)


@contextmanager
def rung_program(rung: str, **settings: str) -> Iterator[RungProgram]:
    """Whatever happens meanwhile, nothing of it outlives this."""
    with tempfile.TemporaryDirectory(prefix="yunhan-chaos-") as folder, ExitStack() as stack:
        engine = None
        if rung == "docker":
            root = Path(tempfile.mkdtemp(prefix="yh-engine-"))
            stack.callback(shutil.rmtree, root, ignore_errors=True)
            engine = Engine(root)
            stack.callback(engine.stop)
            engine.start()
            settings["YUNHAN_DOCKER_HOST"] = f"unix://{engine.socket}"
        program = Program(
            Path(folder) / "data",
            YUNHAN_SANDBOX=rung,
            YUNHAN_SLOTS=str(SLOTS),
            YUNHAN_LOG_FUNCTION_LINES="false",
            **settings,
        )
        stack.callback(lambda: program.process and program.kill())
        yield RungProgram(program=program, machine=Machine(program.data_dir, engine), engine=engine)
