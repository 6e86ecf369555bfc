"""Steady load: callers that wait for answers and producers that do not, with a gate that stops both."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

from tests.chaos.distributed import functions
from tests.chaos.distributed.cluster import GATEWAYS, Cluster
from tests.chaos.distributed.producers import AcceptedLog, Producer
from tests.chaos.distributed.synchronous import call
from tests.chaos.distributed.tally import Call, Submission, Tally

_CALL_PAUSE_S = 0.03
_FAILED_PAUSE_S = 0.2
_SUBMIT_PAUSE_S = 0.25
STOP_BOUND_S = 45.0
"""Longer than any call may take."""


class Load:
    """`start`, then `resume` and `pause` as often as needed, then `end`."""

    def __init__(
        self, cluster: Cluster, tally: Tally, space_id: str, producer: Producer, log: AcceptedLog
    ) -> None:
        self._cluster = cluster
        self._tally = tally
        self._space_id = space_id
        self._producer = producer
        self._log = log
        self._numbers = itertools.count(1)
        self._gate = threading.Event()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._under_way: Counter[str] = Counter()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        options = self._tally.options
        for kind, count, work in (
            ("caller", options.callers, self._call_on),
            ("producer", options.producers, self._submit_on),
        ):
            for number in range(count):
                seed = f"{options.seed} {kind} {number}"
                thread = threading.Thread(
                    target=self._guarded, args=(work, random.Random(seed)), name=f"{kind} {number}"
                )
                self._threads.append(thread)
                thread.start()

    def resume(self) -> None:
        self._gate.set()

    def pause(self) -> None:
        """Returns when nobody calls or submits any more."""
        self._gate.clear()
        deadline = time.monotonic() + STOP_BOUND_S
        while +self._under_way:
            if time.monotonic() > deadline:
                self._tally.violate(f"load does not end: {dict(+self._under_way)}")
                return
            time.sleep(0.02)

    def end(self) -> None:
        self._over.set()
        self._gate.set()
        for thread in self._threads:
            thread.join()

    def calls_under_way(self, gateway: int) -> int:
        return self._under_way[f"gateway {gateway}"]

    def call(self, name: str, gateway: int, dice: random.Random) -> Call:
        """One call, noted like all others."""
        number = next(self._numbers)
        args = functions.arguments(name, number, dice)
        with self._counted(f"gateway {gateway}"):
            told = call(self._cluster, self._space_id, gateway, name, number, args)
        self._tally.calls.append(told)
        return told

    def submit(self, dice: random.Random, way: str = "", name: str = "") -> Submission:
        """One asynchronous job, written down before anything else happens."""
        number = next(self._numbers)
        with self._counted("producer"):
            told = self._producer.submit(number, dice, way=way, name=name)
            self._log.note(told)
        self._tally.submissions.append(told)
        return told

    def numbers(self) -> Any:
        return self._numbers

    def _guarded(self, work: Callable[[random.Random], None], dice: random.Random) -> None:
        while self._gate.wait() and not self._over.is_set():
            try:
                work(dice)
            except Exception as error:  # noqa: BLE001 - reported, and the others go on
                self._tally.violate(f"the load itself failed: {error!r}")
                time.sleep(1)

    def _call_on(self, dice: random.Random) -> None:
        told = self.call(dice.choice(functions.SYNCHRONOUS), dice.randrange(GATEWAYS), dice)
        bad = told.verdict.outcome == "cut" or told.verdict.blame == "ours"
        time.sleep(_FAILED_PAUSE_S if bad else _CALL_PAUSE_S)

    def _submit_on(self, dice: random.Random) -> None:
        told = self.submit(dice)
        time.sleep(_SUBMIT_PAUSE_S if told.state == "accepted" else _FAILED_PAUSE_S)

    @contextmanager
    def _counted(self, what: str) -> Any:
        with self._lock:
            self._under_way[what] += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way[what] -= 1
