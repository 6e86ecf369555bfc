"""What each program has open and below it: the same after all faults as before them."""

from __future__ import annotations

import time

from tests.chaos.distributed.cluster import IDLE_S, Cluster
from tests.chaos.snapshot import Snapshot

_SETTLE_S = 40.0
_LOOK_S = 1.0
_POOLED = ("descriptor tcp to elsewhere", "descriptor other socket")
_POOLED_MAX = 64
"""The intake's hands, the slots, the callers, and a few of the program's own."""


class Census:
    """`begin` and `differences` at rest, without load."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._before: list[Snapshot] = []
        self._connections = 0

    def begin(self) -> None:
        time.sleep(2 * IDLE_S)  # idle sandboxes are retired
        self._before = self._now()
        self._connections = self._broker_connections()

    def differences(self) -> list[str]:
        """Load must have stopped; idle sandboxes are waited for."""
        deadline = time.monotonic() + _SETTLE_S
        while True:
            found = [
                f"{program.command} {number}, after the run: {line}"
                for number, (program, before, now) in enumerate(
                    zip(self._cluster.programs, self._before, self._now(), strict=True)
                )
                for line in before.difference(now)
            ]
            connections = self._broker_connections()
            if connections != self._connections:
                found.append(f"connections to the broker: {self._connections} -> {connections}")
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(_LOOK_S)

    def _now(self) -> list[Snapshot]:
        return [
            _without_pool(machine.snapshot(program.process.pid if program.process else None))
            for program, machine in zip(self._cluster.programs, self._cluster.machines, strict=True)
        ]

    def _broker_connections(self) -> int:
        """Those of the programs: they are named by the prefix."""
        listed = self._cluster.broker.control("list_connections", "client_properties")
        return sum(f'"{self._cluster.prefix} ' in line for line in listed.splitlines())


def _without_pool(found: Snapshot) -> Snapshot:
    """Connections to the database only when they are too many. The driver keeps as many as were once needed
    at the same moment, and those that the server has dropped until it uses them again: then they are in none
    of the kernel's tables. Those to the broker are among them, but the broker counts its own."""
    counts = dict(found.counts)
    pooled = sum(counts.pop(name, 0) for name in _POOLED)
    if pooled > _POOLED_MAX:
        counts["connections to other programs"] = pooled
    return Snapshot(counts)
