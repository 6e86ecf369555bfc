"""Faults of the distributed form under steady load. Seeded, bounded.

    python -m tests.chaos.run --only distributed [--faults N] [--seed S] [--kinds a,b] [--short]
        [--record docs/faults.jsonl] [--keep FOLDER]

A RabbitMQ, a document database, two gateways and two workers run as programs of their own. Callers call and
producers submit all the time; what was accepted is written down before the next step. After each
fault, or series of kills, calls must work again and the load stops: leases, slots, consumers and queues must
come back to rest and every accepted job must be over. At the end the ledger, the producers' log and what the
functions wrote must agree: nothing accepted lost, nothing recorded twice, no call run twice, every caller
answered in time. Nothing may be left on the machine.
"""

from __future__ import annotations

import json
import logging
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime.backends.ledger.codec import entry_from_document
from tests.chaos.distributed import functions, records
from tests.chaos.distributed.amqp import Amqp
from tests.chaos.distributed.census import Census
from tests.chaos.distributed.cluster import (
    GATEWAYS,
    Cluster,
    Ledger,
    amqp_of,
    ledger_of,
    open_cluster,
)
from tests.chaos.distributed.load import Load
from tests.chaos.distributed.odd_faults import OddFaults
from tests.chaos.distributed.options import Options, read_options
from tests.chaos.distributed.plan import PROCESSES, plan
from tests.chaos.distributed.process_faults import ProcessKiller
from tests.chaos.distributed.producers import AcceptedLog, Producer
from tests.chaos.distributed.rest import REST_BOUND_S, Rest
from tests.chaos.distributed.store_faults import StoreFaults
from tests.chaos.distributed.tally import Fault, Tally
from tests.chaos.distributed.verdicts import Entry, violations
from tests.chaos.results import commit, note, spread

_BETWEEN_S = 1.0
_PROBE_PAUSE_S = 0.1
_PROBE_BOUND_S = 90.0
_BACKLOG_REST_S = 600.0
_CHECK_S = 900.0


class Run:
    """One run on a started cluster."""

    def __init__(self, cluster: Cluster, tally: Tally, ledger: Ledger, amqp: Amqp) -> None:
        self._cluster = cluster
        self._tally = tally
        self._ledger = ledger
        dice = random.Random(tally.options.seed)
        self._dice = dice
        self._executions = functions.Executions(cluster.folder / "executions.txt")
        space_id = functions.deploy(cluster.management(0), cluster.folder / "executions.txt")
        self._log = AcceptedLog(cluster.folder / "producers.jsonl")
        producer = Producer(cluster, space_id, amqp)
        self._load = Load(cluster, tally, space_id, producer, self._log)
        self._rest = Rest(cluster, tally, ledger, amqp)
        self._killer = ProcessKiller(cluster, self._load, self._executions, dice)
        self._odd = OddFaults(cluster, self._load, amqp, tally, space_id, dice)
        stores = StoreFaults(cluster, self._load, self._rest, amqp, tally, dice)
        self._act: Mapping[str, Callable[[Fault], None]] = {
            **stores.by_kind(),
            **self._odd.by_kind(),
        }
        self._census = Census(cluster)
        self._told = 0

    def carry_out(self) -> None:
        """All steps of the plan, then everything that can only be compared at the end."""
        options = self._tally.options
        self._load.start()
        try:
            self._warm_up()
            steps = plan(options.faults, options.seed, options.kinds)
            for number, kinds in enumerate(steps, 1):
                self._step(kinds)
                self._tell(number, len(steps))
            self._load.pause()
            self._rest.wait("the last fault")
            self._rest.check_ends_stand()
            self._tally.violations += self._census.differences()
        finally:
            self._load.end()
            self._log.close()
        self._compare()

    def _warm_up(self) -> None:
        self._load.resume()
        time.sleep(5)
        self._load.pause()
        self._rest.wait("the warm-up")
        self._census.begin()
        self._load.resume()
        time.sleep(_BETWEEN_S)

    def _step(self, kinds: tuple[str, ...]) -> None:
        fault = Fault(kinds)
        self._tally.faults.append(fault)
        if kinds[0] in PROCESSES:
            self._killer.series(kinds, fault)
        else:
            self._act[kinds[0]](fault)
            fault.done[kinds[0]] += 1
        fault.ended = time.monotonic()
        self._probe(fault)
        self._load.pause()
        bound_s = _BACKLOG_REST_S if kinds[0] == "backlog" else REST_BOUND_S
        fault.rest_s = self._rest.wait(" ".join(kinds), bound_s=bound_s)
        self._load.resume()
        time.sleep(_BETWEEN_S)

    def _probe(self, fault: Fault) -> None:
        """Calls work again at every gateway."""
        for gateway in range(GATEWAYS):
            while True:
                call = self._load.call(functions.PROBE, gateway, self._dice)
                if call.verdict.outcome == "ok":
                    break
                if time.monotonic() - fault.ended > _PROBE_BOUND_S:
                    self._tally.violate(
                        f"no call works {_PROBE_BOUND_S:g} s after {fault.kinds}: {call.verdict}"
                    )
                    break
                # failures until then are explained by the fault
                fault.recovered_s = time.monotonic() - fault.ended
                time.sleep(_PROBE_PAUSE_S)
        fault.recovered_s = time.monotonic() - fault.ended

    def _tell(self, number: int, steps: int) -> None:
        tally, fault = self._tally, self._tally.faults[-1]
        print(
            f"step {number}/{steps}: {sum(tally.made().values())} faults,"
            f" {len(tally.calls)} calls, {len(tally.submissions)} jobs,"
            f" {len(tally.violations)} violations; {dict(Counter(fault.kinds))}"
            f" recovered {fault.recovered_s:.1f} s, rest {fault.rest_s:.1f} s",
            file=sys.stderr,
            flush=True,
        )
        for violation in tally.violations[self._told :]:
            print(f"  VIOLATION {violation[:2000]}", file=sys.stderr, flush=True)
        self._told = len(tally.violations)

    def _compare(self) -> None:
        tally = self._tally
        self._executions.read()
        entries = [_entry(document) for document in self._ledger.all()]
        tally.states = Counter(entry.state for entry in entries)
        tally.attempts = Counter(entry.attempts for entry in entries)
        tally.violations += violations(tally, entries, self._executions)
        letters = self._rest.dead_letters()
        if letters != {"intake.dead": self._odd.poison_messages, "dead": 0}:
            tally.violate(f"dead letters: {letters}, poison: {self._odd.poison_messages}")
        by_number = {entry.number: entry.job_id for entry in entries}
        accepted = self._cluster.folder / "accepted.txt"
        told = [each for each in tally.submissions if each.state == "accepted"]
        # Producers of the intake learn no id; the ledger's are theirs when there is exactly one.
        ids = [each.job_id or by_number.get(each.number, f"job-{each.number}") for each in told]
        accepted.write_text("".join(f"{job_id}\n" for job_id in ids))
        words = ("ledger", "check", "--accepted", str(accepted), "--json")
        checked = self._cluster.cli(*words, timeout_s=_CHECK_S)
        if checked.returncode:
            tally.violate(f"yunhan ledger check: {checked.stdout[-3000:]}{checked.stderr[-1000:]}")
        else:
            report = json.loads(checked.stdout)
            if report["accepted"] != len(set(ids)) or not report["sound"]:
                tally.violate(f"yunhan ledger check compared {report['accepted']} of {len(ids)}")


def _entry(document: Mapping[str, Any]) -> Entry:
    found = entry_from_document(document)
    args = json.loads(found.job.args)
    if "body" in args:  # of an HTTP trigger
        args = json.loads(args["body"])
    value = found.outcome.value if found.outcome else None
    return Entry(
        job_id=found.job.job_id,
        number=args["i"],
        state=found.state.value,
        attempts=len(found.attempts),
        result=(value or b"").decode(),
    )


def run(options: Options) -> Tally:
    """One run in a folder of its own."""
    tally = Tally(options)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="yunhan-chaos-") as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        with open_cluster(folder) as cluster:
            amqp = amqp_of(cluster)
            try:
                with ledger_of(cluster) as ledger:
                    Run(cluster, tally, ledger, amqp).carry_out()
            finally:
                amqp.close()
            codes = cluster.stop()
            if any(codes):
                tally.violate(f"the programs ended with {codes}")
            tally.peaks_mb = cluster.peaks_mb
            tally.violations += left_behind(cluster)
    tally.seconds = time.monotonic() - began
    return tally


def left_behind(cluster: Cluster) -> list[str]:
    """Processes, mounts, sockets and folders of stopped programs."""
    deadline = time.monotonic() + 10
    while True:
        found = [
            f"left behind: {name} ({count})"
            for machine in cluster.machines
            for name, count in machine.snapshot(None).counts.items()
        ]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def figures(tally: Tally) -> dict[str, Any]:
    """Of one run."""
    faults = tally.made()
    slowest = max(tally.faults, key=lambda fault: fault.recovered_s, default=None)
    return {
        "seed": tally.options.seed,
        "faults": sum(faults.values()),
        "by_kind": dict(sorted(faults.items())),
        "accepted": sum(told.state == "accepted" for told in tally.submissions),
        "submissions": dict(Counter(f"{t.way} {t.state}" for t in tally.submissions)),
        "jobs": dict(tally.states),
        "attempts": {str(n): count for n, count in sorted(tally.attempts.items())},
        "sync": dict(Counter(call.verdict.outcome for call in tally.calls).most_common()),
        "call_s": spread([call.seconds for call in tally.calls]),
        "submit_s": spread([told.seconds for told in tally.submissions]),
        "recovered_max_s": round(slowest.recovered_s, 1) if slowest else 0.0,
        "recovered_of": {
            kind: round(max(f.recovered_s for f in tally.faults if kind in f.kinds), 1)
            for kind in sorted({kind for fault in tally.faults for kind in fault.kinds})
        },
        "rest_max_s": round(max((fault.rest_s for fault in tally.faults), default=0.0), 1),
        "peak_mb": dict(tally.peaks_mb),
        "seconds": round(tally.seconds),
        "notes": tally.notes,
        "violations": tally.violations[:50],
        "violation_count": len(tally.violations),
    }


def _end(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def main(given: Sequence[str] | None = None) -> int:
    assert __doc__
    options = read_options(__doc__.partition("\n")[0], given)
    signal.signal(signal.SIGTERM, _end)  # else the programs would outlive us
    for name in ("aio_pika", "aiormq"):  # they tell of every killed broker
        logging.getLogger(name).setLevel(logging.CRITICAL)
    at = commit(besides=records.RECORDS)
    tally = run(options)
    told = figures(tally)
    if options.record is not None:
        records.append(options.record, at, told)
    return note("distributed", told, options.results)
