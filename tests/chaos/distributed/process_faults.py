"""kill -9 of sandboxes in mid call, of workers in mid call and of gateways with waiting callers."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Sequence

from tests.chaos.distributed.cluster import GATEWAYS, Cluster
from tests.chaos.distributed.functions import Executions
from tests.chaos.distributed.load import Load
from tests.chaos.distributed.tally import Fault
from tests.chaos.snapshot import descendants
from tests.harness.program import Process

_FIND_S = 3.0
_PAUSE_S = (0.05, 0.5)
_LOOK_S = 0.01


class ProcessKiller:
    """Kills, and starts programs again. A program that was just started gets ready first."""

    def __init__(
        self, cluster: Cluster, load: Load, executions: Executions, dice: random.Random
    ) -> None:
        self._cluster = cluster
        self._load = load
        self._executions = executions
        self._dice = dice
        self._killed: set[int] = set()
        self._kill = {
            "sandbox": self._sandbox,
            "worker": self._worker,
            "gateway": self._gateway,
        }

    def series(self, kinds: Sequence[str], fault: Fault) -> None:
        """One after the other with short pauses; at the end all programs are ready again."""
        for kind in kinds:
            self._kill[kind](fault)
            time.sleep(self._dice.uniform(*_PAUSE_S))
        self.all_ready()

    def all_ready(self) -> None:
        for program in self._cluster.programs:
            program.wait_ready()

    def _sandbox(self, fault: Fault) -> None:
        pid = _found(lambda: next(iter(self._busy()), 0))
        if not pid:
            return
        self._killed.add(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            fault.done["sandbox"] += 1

    def _busy(self) -> list[int]:
        """Sandboxes in mid call, in random order."""
        alive = {pid for worker in self._cluster.workers for pid in _below(worker)}
        found = sorted(self._executions.busy() & alive - self._killed)
        self._dice.shuffle(found)
        return found

    def _worker(self, fault: Fault) -> None:
        first = self._dice.choice(self._cluster.workers)
        first.wait_ready()

        def busy() -> bool:
            return bool(self._executions.busy() & set(_below(first)))

        in_mid_call = _found(busy)
        self._cluster.kill(first)
        fault.done["worker" if in_mid_call else "worker (idle)"] += 1
        first.launch()

    def _gateway(self, fault: Fault) -> None:
        number = self._dice.randrange(GATEWAYS)
        gateway = self._cluster.gateways[number]
        gateway.wait_ready()
        waiting = _found(lambda: self._load.calls_under_way(number))
        self._cluster.kill(gateway)
        fault.done["gateway" if waiting else "gateway (idle)"] += 1
        gateway.launch()


def _found(look: Callable[[], int]) -> int:
    deadline = time.monotonic() + _FIND_S
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    return found


def _below(program: Process) -> list[int]:
    process = program.process
    return descendants(process.pid) if process is not None and process.poll() is None else []
