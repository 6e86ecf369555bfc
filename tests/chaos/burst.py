"""A burst of functions that were never called before, on few slots: nothing runs twice, nobody starves.

    python -m tests.chaos.burst --rung bubblewrap [--functions 100] [--slots 8] [--neighbours 2]

Every function is called once, all at the same moment. Meanwhile neighbours call a warm function of a space
of their own, one call after the other. Every call is ok and started its function once; each ends within
3 times the mean; no neighbour's call waits longer than the slowest of the burst may.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.chaos.engine import Engine
from tests.chaos.snapshot import Machine
from tests.harness.management import Management
from tests.harness.program import Program

WAIT_FACTOR_MAX = 3.0
SOURCE = "let loads = 0;\nmodule.exports = (ctx) => {\n  loads += 1;\n"
SOURCE += "  console.log('run', process.pid);\n  return { i: ctx.args.i, loads };\n};\n"
TIMEOUT_S = 30
_WRITTEN_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    rung: str
    functions: int = 100
    slots: int = 8
    neighbours: int = 2


@dataclass(slots=True)
class Burst:
    options: Options
    lasted_s: list[float] = field(default_factory=list)
    queue_ms: list[float] = field(default_factory=list)
    start_ms: list[float] = field(default_factory=list)
    neighbours_s: list[float] = field(default_factory=list)
    neighbours_alone_s: list[float] = field(default_factory=list)
    cold: int = 0
    started: int = 0
    """Sandboxes seen during the burst, those of neighbours and the prewarmed one not counted."""
    violations: list[str] = field(default_factory=list)


def call(management: Management, space_id: str, name: str, number: int, burst: Burst) -> float:
    """One call; how long it took."""
    began = time.monotonic()
    answer = management.invoke(space_id, name, {"i": number})
    lasted = time.monotonic() - began
    if not answer["Success"]:
        burst.violations.append(f"{name} ({answer['RequestId']}): {answer['Error']}")
    elif name.startswith("first-"):
        result, bill = json.loads(answer["Result"]), answer["Bill"]
        if result != {"i": number, "loads": 1}:
            burst.violations.append(f"{name} answered {result}")
        burst.cold += bool(bill["Cold"])
        burst.queue_ms.append(bill["QueueMs"])
        burst.start_ms.append(bill["StartMs"])
    return lasted


class Watch:
    """Counts sandboxes by process id while the burst runs."""

    def __init__(self, machine: Machine, program: int) -> None:
        self._machine = machine
        self._program = program
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch sandboxes")
        self.seen: set[int] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self.seen |= set(self._machine.sandboxes(self._program))


def measure(burst: Burst, program: Program, machine: Machine) -> None:
    options = burst.options
    management = Management(program.endpoint, program.access_key())
    space_id, _ = management.space("burst")
    other_id, _ = management.space("neighbour")
    names = [f"first-{number}" for number in range(options.functions)]
    for name in names:
        management.deploy(space_id, name, {"index.js": SOURCE}, Timeout=TIMEOUT_S)
    for number in range(options.neighbours):
        management.deploy(other_id, f"warm-{number}", {"index.js": SOURCE}, Timeout=TIMEOUT_S)
        call(management, other_id, f"warm-{number}", -1, burst)
    burst.neighbours_alone_s = [
        call(management, other_id, "warm-0", number, burst) for number in range(20)
    ]
    over = threading.Event()

    def neighbour(number: int) -> None:
        while not over.is_set():
            burst.neighbours_s.append(call(management, other_id, f"warm-{number}", 0, burst))
            over.wait(0.05)

    assert program.process is not None
    already = set(machine.sandboxes(program.process.pid))
    threads = [threading.Thread(target=neighbour, args=(n,)) for n in range(options.neighbours)]
    with (
        Watch(machine, program.process.pid) as watch,
        ThreadPoolExecutor(options.functions) as callers,
    ):
        for thread in threads:
            thread.start()
        calls = [
            callers.submit(call, management, space_id, name, number, burst)
            for number, name in enumerate(names)
        ]
        burst.lasted_s = [one.result() for one in calls]
        over.set()
        for thread in threads:
            thread.join()
    burst.started = len(watch.seen - already)
    _check_records(burst, management, space_id, names)


def _check_records(burst: Burst, management: Management, space_id: str, names: list[str]) -> None:
    time.sleep(_WRITTEN_S)
    runs: Counter[str] = Counter()
    for name in names:
        answer = management.call("YunhanListFunctionLog", SpaceId=space_id, Name=name)
        runs[name] = sum(
            text.startswith("run ") for row in answer["DataList"] for text in row["Contents"]
        )
        if len(answer["DataList"]) != 1 or runs[name] != 1:
            burst.violations.append(
                f"{name}: {len(answer['DataList'])} records and {runs[name]} runs for one call"
            )


def judge(burst: Burst) -> None:
    """The waits; only once everything was measured."""
    mean = statistics.fmean(burst.lasted_s)
    slow = [lasted for lasted in burst.lasted_s if lasted > WAIT_FACTOR_MAX * mean]
    if slow:
        burst.violations.append(
            f"{len(slow)} calls took more than {WAIT_FACTOR_MAX:g} times the mean of {mean:.2f} s:"
            f" up to {max(slow):.2f} s"
        )
    starved = [lasted for lasted in burst.neighbours_s if lasted > WAIT_FACTOR_MAX * mean]
    if starved or not burst.neighbours_s:
        burst.violations.append(f"neighbours starved: {[round(lasted, 2) for lasted in starved]}")
    # One sandbox may be made ahead for a call that found none free in the end.
    if burst.started > burst.options.functions + 1:
        burst.violations.append(
            f"{burst.started} sandboxes were started for {burst.options.functions} calls"
        )
    if burst.cold != burst.options.functions:
        burst.violations.append(f"{burst.cold} of {burst.options.functions} calls say cold")


def report(burst: Burst) -> dict[str, Any]:
    return {
        "rung": burst.options.rung,
        "functions": burst.options.functions,
        "slots": burst.options.slots,
        "call_s": _spread(burst.lasted_s),
        "longest_to_mean": round(max(burst.lasted_s) / statistics.fmean(burst.lasted_s), 2),
        "queue_ms": _spread(burst.queue_ms),
        "start_ms": _spread(burst.start_ms),
        "cold": burst.cold,
        "sandboxes_seen": burst.started,
        "neighbour_alone_s": _spread(burst.neighbours_alone_s),
        "neighbour_s": _spread(burst.neighbours_s),
        "neighbour_calls": len(burst.neighbours_s),
        "violations": burst.violations[:50],
    }


def _spread(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    ordered = sorted(values)
    at = {"min": 0.0, "p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    found = {name: ordered[int(part * (len(ordered) - 1))] for name, part in at.items()}
    return {name: round(value, 3) for name, value in found.items()} | {
        "mean": round(statistics.fmean(ordered), 3)
    }


def show(figures: dict[str, Any]) -> None:
    """A table for people, then one line for programs."""
    for name, value in figures.items():
        if name != "violations":
            print(f"{name:>20}  {value}")
    for violation in figures["violations"][:20]:
        print(f"  VIOLATION {violation}")
    print(json.dumps(figures))


def run(options: Options) -> Burst:
    """One burst in folders of its own."""
    burst = Burst(options)
    with tempfile.TemporaryDirectory(prefix="yunhan-burst-") as folder, ExitStack() as stack:
        settings = {
            "YUNHAN_SANDBOX": options.rung,
            "YUNHAN_SLOTS": str(options.slots),
            "YUNHAN_QUEUE_WAIT_S": "120",  # a slow machine is no violation
            "YUNHAN_LOG_FUNCTION_LINES": "false",
        }
        engine = None
        if options.rung == "docker":
            root = Path(tempfile.mkdtemp(prefix="yh-engine-"))
            stack.callback(shutil.rmtree, root, ignore_errors=True)
            engine = Engine(root)
            stack.callback(engine.stop)
            engine.start()
            settings["YUNHAN_DOCKER_HOST"] = f"unix://{engine.socket}"
        program = Program(Path(folder) / "data", **settings)
        stack.callback(lambda: program.process and program.kill())
        program.start()
        measure(burst, program, Machine(program.data_dir, engine))
        code = program.stop()
        if code != 0:
            burst.violations.append(f"the program ended with {code}\n{program.log()}")
        judge(burst)
    return burst


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    defaults = Options(rung="")
    parser.add_argument("--rung", required=True)
    parser.add_argument("--functions", type=int, default=defaults.functions)
    parser.add_argument("--slots", type=int, default=defaults.slots)
    parser.add_argument("--neighbours", type=int, default=defaults.neighbours)
    figures = report(run(Options(**vars(parser.parse_args(given)))))
    show(figures)
    return 1 if figures["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
