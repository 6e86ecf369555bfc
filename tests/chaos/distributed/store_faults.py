"""Faults of what all programs share: broker and document database killed, broker frozen or out of memory."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Mapping

from tests.chaos.distributed.amqp import Amqp
from tests.chaos.distributed.cluster import GATEWAYS, SHARDS, Cluster
from tests.chaos.distributed.load import Load
from tests.chaos.distributed.rest import Rest
from tests.chaos.distributed.tally import Fault, Tally

REFUSED_WITHIN_S = 7.0
"""YUNHAN_QUEUE_PUBLISH_TIMEOUT_S (5), and a slow machine."""
_DOWN_S = (0.0, 2.0)
_BEFORE_S = (0.3, 1.5)
_ALARM_S = 8.0


class StoreFaults:
    """Each method returns when what it did was undone."""

    def __init__(
        self,
        cluster: Cluster,
        load: Load,
        rest: Rest,
        amqp: Amqp,
        tally: Tally,
        dice: random.Random,
    ) -> None:
        self._cluster = cluster
        self._load = load
        self._rest = rest
        self._amqp = amqp
        self._tally = tally
        self._dice = dice

    def by_kind(self) -> Mapping[str, Callable[[Fault], None]]:
        return {
            "broker": self._broker,
            "documents": self._documents,
            "freeze": self._freeze,
            "alarm": self._alarm,
            "queue_deleted": self._queue_deleted,
        }

    def _broker(self, _fault: Fault) -> None:
        """With messages in flight."""
        time.sleep(self._dice.uniform(*_BEFORE_S))
        self._cluster.broker.kill()
        time.sleep(self._dice.uniform(*_DOWN_S))
        self._cluster.broker.start()

    def _documents(self, _fault: Fault) -> None:
        """Jobs end all the time, so some of them between result and record."""
        time.sleep(self._dice.uniform(*_BEFORE_S))
        os.kill(self._cluster.database_server(), signal.SIGKILL)
        time.sleep(self._dice.uniform(*_DOWN_S))

    def _freeze(self, _fault: Fault) -> None:
        self._cluster.broker.freeze()
        try:
            time.sleep(self._tally.options.freeze_s)
        finally:
            self._cluster.broker.thaw()

    def _alarm(self, _fault: Fault) -> None:
        """Publishes are refused in time, and calls are answered."""
        self._cluster.broker.alarm(on=True)
        try:
            began = time.monotonic()
            for gateway in range(GATEWAYS):
                told = self._load.submit(self._dice, way="management")
                if told.seconds > REFUSED_WITHIN_S or told.state == "accepted":
                    self._tally.violate(
                        f"during an alarm a job was {told.state} after {told.seconds:.1f} s {told.why}"
                    )
                call = self._load.call("quick-0", gateway, self._dice)
                if call.seconds > REFUSED_WITHIN_S or call.verdict.outcome == "ok":
                    self._tally.violate(
                        f"during an alarm a call was {call.verdict.outcome} after {call.seconds:.1f} s"
                    )
            time.sleep(max(0.0, began + _ALARM_S - time.monotonic()))
        finally:
            self._cluster.broker.alarm(on=False)

    def _queue_deleted(self, _fault: Fault) -> None:
        """The queues of calls under load. Those of accepted jobs when they are empty: who deletes them with
        jobs deletes the jobs."""
        prefix = self._cluster.prefix
        self._amqp.delete(f"{prefix}.calls")
        self._amqp.delete(f"{prefix}.expired")
        time.sleep(2)
        self._load.pause()
        self._rest.wait("deleting the queues of calls")
        for number in range(SHARDS):
            self._amqp.delete(f"{prefix}.jobs.{number}")
        self._amqp.delete(f"{prefix}.delay.0.1")
        self._amqp.delete(f"{prefix}.intake.v1")
        # A publish finds out that a queue without consumers is gone
        self._load.resume()
        time.sleep(2)
