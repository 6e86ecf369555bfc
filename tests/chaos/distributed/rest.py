"""The system at rest: with nobody asking for anything, everything comes back to where it was."""

from __future__ import annotations

import time
import urllib.error

from aio_pika.exceptions import AMQPError
from pymongo.errors import PyMongoError

from tests.chaos.distributed.amqp import Amqp
from tests.chaos.distributed.cluster import SLOTS, Cluster, Ledger
from tests.chaos.distributed.tally import Tally

REST_BOUND_S = 60.0
"""A lease, a sweep, the longest backoff and delay, and the jobs that waited meanwhile."""
_LOOK_S = 0.25
_KEPT = ("intake.dead", "dead")
"""Queues that nobody empties: they are for people to look at."""


class Rest:
    """Compares with the first time that it looked."""

    def __init__(self, cluster: Cluster, tally: Tally, ledger: Ledger, amqp: Amqp) -> None:
        self._cluster = cluster
        self._tally = tally
        self._ledger = ledger
        self._amqp = amqp
        listed = cluster.broker.control("list_queues", "name", "exclusive").splitlines()
        lasting = [line.split()[0] for line in listed if line.split()[1:] == ["false"]]
        self._queues = [name for name in lasting if name.startswith(f"{cluster.prefix}.")]
        assert f"{cluster.prefix}.calls" in self._queues
        self._kept = {f"{cluster.prefix}.{name}" for name in _KEPT}
        self._consumers: dict[str, int] = {}
        self._ends: dict[str, tuple[str, object, int]] = {}
        self._read = 0
        self._accepted: set[str] = set()
        """Of those not yet known to be over."""

    def wait(self, after: str, *, bound_s: float = REST_BOUND_S) -> float:
        """Until everything is at rest; how long that took. Not in time is a violation."""
        began = time.monotonic()
        while problems := self._problems():
            if time.monotonic() - began > bound_s:
                self._tally.violate(f"after {after}: not at rest for {bound_s:g} s: {problems}")
                break
            time.sleep(_LOOK_S)
        lasted = time.monotonic() - began
        if not problems:
            self._remember_consumers()
        self._cluster.note_peaks()
        return lasted

    def check_ends_stand(self) -> None:
        """A terminal state that was seen once is the same ever after."""
        now = self._ledger.ends_of(list(self._ends))
        for job_id, before in self._ends.items():
            if now.get(job_id) != before:
                self._tally.violate(f"{job_id} was {before} and is {now.get(job_id)}")

    def dead_letters(self) -> dict[str, int]:
        """Messages in the queues that nobody empties."""
        names = [f"{self._cluster.prefix}.{name}" for name in _KEPT]
        found = self._amqp.depths(names)
        return {kept: found[name][0] for kept, name in zip(_KEPT, names, strict=True)}

    def _problems(self) -> list[str]:
        try:
            problems = [*self._of_broker(), *self._of_programs(), *self._of_ledger()]
            # Last and only then: to ask for thousands of jobs again and again would hold up the work.
            return problems or self._of_accepted()
        except (OSError, urllib.error.URLError, AMQPError, PyMongoError, RuntimeError) as error:
            return [f"{type(error).__name__}: {error}"]

    def _of_ledger(self) -> list[str]:
        return [f"{count} jobs are {state}" for state, count in self._ledger.open_jobs().items()]

    def _of_accepted(self) -> list[str]:
        """Each accepted job is over, whether or not the ledger has heard of it."""
        told = self._tally.submissions[self._read :]
        self._read += len(told)
        self._accepted |= {each.job_id for each in told if each.state == "accepted"} - {""}
        ends = self._ledger.ends_of(sorted(self._accepted))
        self._ends |= ends
        self._accepted -= ends.keys()
        some = sorted(self._accepted)[:5]
        return [f"{len(self._accepted)} accepted jobs are not over: {some}"] if some else []

    def _of_broker(self) -> list[str]:
        problems = []
        for name, (messages, consumers) in self._amqp.depths(self._queues).items():
            if messages and name not in self._kept:
                problems.append(f"{messages} messages in {name}")
            if consumers != self._consumers.get(name, consumers):
                problems.append(f"{consumers} consumers of {name}, not {self._consumers[name]}")
        return problems

    def _of_programs(self) -> list[str]:
        problems = []
        for number, program in enumerate(self._cluster.programs):
            where = f"{program.command} {number}"
            process = program.process
            if process is None or process.poll() is not None:
                problems.append(f"{where} does not run: {process and process.returncode}")
                continue
            figures = program.metrics()
            wanted = {"yunhan_jobs_waiting": 0.0, "yunhan_request_bodies_bytes": 0.0}
            if program.command == "worker":
                # each kind of job is waited for with a slot in hand
                wanted = {"yunhan_invocations_running": 0.0, "yunhan_slots_free": SLOTS - 2.0}
            problems += [
                f"{where}: {name} is {figures.get(name)}, not {value}"
                for name, value in wanted.items()
                if figures.get(name) != value
            ]
        return problems

    def _remember_consumers(self) -> None:
        if not self._consumers:
            found = self._amqp.depths(self._queues)
            self._consumers = {name: consumers for name, (_, consumers) in found.items()}
