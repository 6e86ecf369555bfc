"""Calls while sandboxes, the Docker engine and the whole program are killed. Seeded, bounded.

    python -m tests.chaos.sandboxes --rung bubblewrap [--calls 1000] [--functions 50] [--seed N]
        [--sandbox-kills 40] [--engine-kills 4] [--program-kills 4] [--callers 6]

Every call has one outcome that its caller knows: ok, a typed error with the right blame, or its connection
was cut by the death of the program, and then there is one record of it or none. No call hangs; after a
kill the next calls work. At the end nothing is left: the same counts of processes, containers, mounts,
sockets, folders, control groups and descriptors as before.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.engine import Engine
from tests.chaos.records import Records
from tests.chaos.snapshot import Machine, Snapshot
from tests.chaos.workload import (
    TIMEOUT_S,
    Verdict,
    arguments,
    judge,
    names,
    source,
)
from tests.harness.management import Management, ManagementError
from tests.harness.program import Program

CALL_BOUND_S = 45.0
"""The longest chain: start (10 s) and load (10 s) of a parent and of its child, and their run."""
SETTLE_S = 30.0
IDLE_S = 4
RECOVER_S = {"sandbox": 1.0, "engine": 20.0, "program": 0.0}
"""How long after a kill the next call may still fail with our blame; after a restart not once."""
BLAME_SLACK_S = 3.0
"""A kill explains failures of calls that began this long after it: a death is noticed within 1 s."""
RECORD_LAG_S = 1.0
"""Records younger than this may die with the program (they are written in batches)."""
PROBE = "probe-0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    rung: str
    calls: int = 1000
    functions: int = 50
    callers: int = 6
    sandbox_kills: int = 40
    engine_kills: int = 4
    program_kills: int = 4
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What the caller of one call knows."""

    number: int
    name: str
    began: float
    ended: float
    verdict: Verdict
    request_id: str = ""


@dataclass(slots=True)
class Fault:
    """A kill: `ended` is when what was killed works again."""

    kind: str
    began: float
    ended: float = float("inf")
    victims: int = 0
    recovered_s: float = 0.0


@dataclass(slots=True)
class Tally:
    options: Options
    calls: list[Call] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    blamed: list[tuple[str, str]] = field(default_factory=list)
    """Answers that blame a function which did nothing wrong."""
    before: Snapshot = field(default_factory=lambda: Snapshot({}))
    after: Snapshot = field(default_factory=lambda: Snapshot({}))
    orphans_s: list[float] = field(default_factory=list)
    """How long sandboxes outlived their killed program."""
    seconds: float = 0.0


class Chaos:
    """One run on one rung."""

    def __init__(self, options: Options, folder: Path, engine: Engine | None) -> None:
        self.options = options
        self.engine = engine
        settings = {
            "YUNHAN_SANDBOX": options.rung,
            "YUNHAN_SLOTS": "8",
            "YUNHAN_SANDBOXES_MAX": "24",
            "YUNHAN_SANDBOX_IDLE_S": str(IDLE_S),
            "YUNHAN_LOG_FUNCTION_LINES": "false",
        }
        if engine is not None:
            settings["YUNHAN_DOCKER_HOST"] = f"unix://{engine.socket}"
        self.program = Program(folder / "data", **settings)
        self.machine = Machine(self.program.data_dir, engine)
        self.tally = Tally(options)
        self.names = names(options.functions)
        self.management: Management
        self.space_id = ""
        self._up = threading.Event()
        self._lock = threading.Lock()
        self._next = 0

    def run(self) -> Tally:
        began = time.monotonic()
        nothing = self.machine.snapshot(None)
        self.program.start()
        self._prepare()
        self.tally.before = self._settled(None)
        killer = threading.Thread(target=self._kill, name="killer")
        callers = [
            threading.Thread(target=self._call_all, args=(number,), name=f"caller {number}")
            for number in range(self.options.callers)
        ]
        for thread in (*callers, killer):
            thread.start()
        for thread in (*callers, killer):
            thread.join()
        self._warm_up()
        self.tally.after = self._settled(self.tally.before)
        self._violations("after the run", self.tally.before.difference(self.tally.after))
        self.tally.violations += Records(self.management, self.space_id).check(
            self.tally.calls,
            [fault.began for fault in self.tally.faults if fault.kind == "program"],
            RECORD_LAG_S,
            self.names,
        )
        code = self.program.stop()
        if code != 0:
            self.tally.violations.append(f"the program ended with {code}\n{self.program.log()}")
        self._violations(
            "after the stop", nothing.difference(self._until_equal(nothing, program=None))
        )
        self._judge()
        self.tally.seconds = time.monotonic() - began
        return self.tally

    # --- before and after ---------------------------------------------------------------------

    def _prepare(self) -> None:
        self.management = Management(self.program.endpoint, self.program.access_key())
        self.space_id, _ = self.management.space("chaos")
        for name in self.names:
            self.management.deploy(
                self.space_id, name, source(name.partition("-")[0]), Timeout=TIMEOUT_S
            )
        self.management.deploy(self.space_id, PROBE, source("quick"), Timeout=TIMEOUT_S)
        self._warm_up()
        assert self.program.process is not None
        live = set(self.machine.sandboxes(self.program.process.pid))
        known = set(self.machine.strangers(set()))
        if self.engine is None and not live <= known:  # else the check for orphans could not fail
            self.tally.violations.append("sandboxes of a killed program could not be recognised")
        self._up.set()

    def _warm_up(self) -> None:
        """Whatever is opened once is open before the first count and before the second."""

        def call(name: str) -> None:
            args = arguments(name, -1, random.Random(self.options.seed), self.names)
            verdict = judge(name, -1, self.management.invoke(self.space_id, name, args))
            if verdict.wrong or verdict.blamed_on_function:
                self.tally.violations.append(f"warm-up of {name}: {verdict}")

        with ThreadPoolExecutor(self.options.callers) as callers:
            list(callers.map(call, [PROBE, *self.names[:8]] * 3))

    def _settled(self, wanted: Snapshot | None) -> Snapshot:
        """The counts once idle sandboxes are retired; equal to `wanted` as soon as it can be."""
        assert self.program.process is not None
        pid = self.program.process.pid
        if wanted is not None:
            return self._until_equal(wanted, program=pid)
        deadline = time.monotonic() + SETTLE_S
        while len(self.machine.sandboxes(pid)) != 1 and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(2 * IDLE_S)  # connections of the warm-up end as well
        found = self.machine.snapshot(pid)
        while time.monotonic() < deadline:  # whatever was under way a moment ago
            time.sleep(0.5)
            last, found = found, self.machine.snapshot(pid)
            if not last.difference(found):
                break
        return found

    def _until_equal(self, wanted: Snapshot, *, program: int | None) -> Snapshot:
        deadline = time.monotonic() + SETTLE_S
        while True:
            found = self.machine.snapshot(program)
            if not wanted.difference(found) or time.monotonic() > deadline:
                return found
            time.sleep(0.5)

    def _violations(self, when: str, differences: list[str]) -> None:
        self.tally.violations += [f"{when}, {what}" for what in differences]

    # --- callers ------------------------------------------------------------------------------

    def _call_all(self, caller: int) -> None:
        dice = random.Random(self.options.seed * 1000 + caller)
        while (number := self._take_number()) is not None:
            self._up.wait(120)
            call = self._call(dice.choice(self.names), number, dice)
            with self._lock:
                self.tally.calls.append(call)
            if call.verdict.blame == "ours" or call.verdict.outcome == "cut":
                time.sleep(0.1)  # calls that fail at once must not use up the run

    def _take_number(self) -> int | None:
        with self._lock:
            self._next += 1
            return self._next if self._next <= self.options.calls else None

    def _call(self, name: str, number: int, dice: random.Random) -> Call:
        args = arguments(name, number, dice, self.names)
        began = time.monotonic()
        request_id = ""
        try:
            answer = self.management.invoke(self.space_id, name, args)
            request_id = answer["RequestId"]
            verdict = judge(name, number, answer)
        except ManagementError as error:
            verdict = Verdict(f"HTTP {error.status} {error.code}", "ours")
            if error.status < 500:
                verdict = Verdict(verdict.outcome, "caller", str(error))
        except TimeoutError as error:
            verdict = Verdict("hang", "", f"no answer: {error}")
        except urllib.error.URLError as error:
            hangs = isinstance(error.reason, TimeoutError)
            verdict = Verdict("hang" if hangs else "cut", "", str(error) if hangs else "")
        except (OSError, http.client.HTTPException, ValueError):
            verdict = Verdict("cut", "")
        return Call(
            number=number,
            name=name,
            began=began,
            ended=time.monotonic(),
            verdict=verdict,
            request_id=request_id,
        )

    # --- kills --------------------------------------------------------------------------------

    def _kill(self) -> None:
        options, dice = self.options, random.Random(self.options.seed + 1)
        kinds = ["sandbox"] * options.sandbox_kills + ["program"] * options.program_kills
        if self.engine is not None:
            kinds += ["engine"] * options.engine_kills
        dice.shuffle(kinds)
        # The last tenth is left alone, so that the counts afterwards are of a program that worked.
        moments = sorted(dice.uniform(0.02, 0.9) * options.calls for _ in kinds)
        act: dict[str, Callable[[Fault, random.Random], None]] = {
            "sandbox": self._kill_sandboxes,
            "engine": self._kill_engine,
            "program": self._kill_program,
        }
        for kind, moment in zip(kinds, moments, strict=True):
            while len(self.tally.calls) < moment:
                time.sleep(0.01)
            fault = Fault(kind, time.monotonic())
            with self._lock:
                self.tally.faults.append(fault)
            try:
                act[kind](fault, dice)
                fault.ended = time.monotonic()
                self._probe(fault)
            except Exception as error:  # noqa: BLE001 - reported, and the callers go on
                self.tally.violations.append(f"after a kill ({kind}): {error!r}")
                self._up.set()
                return
            print(
                f"{options.rung}: {kind} killed, {len(self.tally.calls)} calls,"
                f" works again after {fault.recovered_s:.2f} s",
                file=sys.stderr,
            )

    def _kill_sandboxes(self, fault: Fault, dice: random.Random) -> None:
        """One, a few or all of them; live or only starting."""
        assert self.program.process is not None
        found = self.machine.sandboxes(self.program.process.pid)
        many = dice.choice([1, 3, 3, len(found)])
        for pid in dice.sample(found, min(many, len(found))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                fault.victims += 1

    def _kill_engine(self, fault: Fault, dice: random.Random) -> None:
        assert self.engine is not None
        self.engine.kill()
        fault.victims = 1
        time.sleep(dice.uniform(0.0, 3.0))
        self.engine.start()

    def _kill_program(self, fault: Fault, dice: random.Random) -> None:
        self._up.clear()
        self.program.kill()
        fault.victims = 1
        killed = time.monotonic()
        while self.machine.sandboxes(None):
            if time.monotonic() - killed > 5:  # far above the second it may take
                left = len(self.machine.sandboxes(None))
                self.tally.violations.append(f"{left} sandboxes outlive a killed program by 5 s")
                break
            time.sleep(0.02)
        self.tally.orphans_s.append(time.monotonic() - killed)
        time.sleep(dice.uniform(0.0, 0.5))
        self.program.start()
        self._up.set()

    def _probe(self, fault: Fault) -> None:
        """The next calls work: at the latest when the bound of this kind of kill is over."""
        number, failures = 0, 0
        while True:
            number += 1
            began = time.monotonic()
            answer = self.management.invoke(self.space_id, PROBE, {"i": -number})
            if answer["Success"]:
                fault.recovered_s = time.monotonic() - fault.ended
                return
            failures += 1
            late = began - fault.ended > RECOVER_S[fault.kind]
            if answer["Error"]["Blame"] != "ours":
                self.tally.blamed.append(
                    (answer["Outcome"], f"probe: {answer['Error']['Message']}")
                )
            if late:
                self.tally.violations.append(
                    f"a call {began - fault.ended:.2f} s after a kill ({fault.kind}):"
                    f" {answer['Outcome']}: {answer['Error']}"
                )
            if failures > 200:  # it will not come back
                return
            time.sleep(0.1)

    # --- verdicts -----------------------------------------------------------------------------

    def _judge(self) -> None:
        tally = self.tally
        numbers = Counter(call.number for call in tally.calls)
        missing = [n for n in range(1, tally.options.calls + 1) if numbers[n] != 1]
        if missing:
            tally.violations.append(f"not one outcome: calls {missing[:10]}")
        for call in tally.calls:
            verdict = call.verdict
            where = f"call {call.number} of {call.name} ({call.request_id or 'no id'})"
            if verdict.wrong:
                tally.violations.append(f"{where}: {verdict.wrong}")
            if call.ended - call.began > CALL_BOUND_S:
                tally.violations.append(f"{where} took {call.ended - call.began:.1f} s")
            if verdict.blamed_on_function:
                tally.blamed.append((verdict.outcome, f"{where}: {verdict.blamed_on_function}"))
            if not self._explained(call):
                tally.violations.append(f"{where}: {verdict.outcome} although nothing was killed")
        for outcome, texts in self._blamed_by_outcome().items():
            tally.violations.append(
                f"{len(texts)} answers ({outcome}) blame the function for what was killed,"
                f" e.g. {texts[0]}"
            )

    def _blamed_by_outcome(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for outcome, text in self.tally.blamed:
            found.setdefault(outcome, []).append(text)
        return found

    def _explained(self, call: Call) -> bool:
        """Whether something was killed that may have ended this call; always for calls that we did not
        fail."""
        cut = call.verdict.outcome == "cut"
        if not cut and call.verdict.blame != "ours":
            return True
        return any(
            fault.began <= call.ended
            and call.began <= fault.ended + fault.recovered_s + BLAME_SLACK_S
            for fault in self.tally.faults
            if not cut or fault.kind == "program"
        )


def report(tally: Tally) -> dict[str, Any]:
    """The figures of a run."""
    lasted = sorted(call.ended - call.began for call in tally.calls)
    kills = Counter(fault.kind for fault in tally.faults)
    return {
        "rung": tally.options.rung,
        "seed": tally.options.seed,
        "calls": len(tally.calls),
        "functions": tally.options.functions,
        "outcomes": dict(Counter(call.verdict.outcome for call in tally.calls).most_common()),
        "blamed_on_function": len(tally.blamed),
        "kills": dict(kills),
        "sandboxes_killed": sum(f.victims for f in tally.faults if f.kind == "sandbox"),
        "recovered_max_s": {
            kind: round(max(f.recovered_s for f in tally.faults if f.kind == kind), 2)
            for kind in kills
        },
        "orphans_max_s": round(max(tally.orphans_s, default=0.0), 2),
        "call_median_s": round(lasted[len(lasted) // 2], 3) if lasted else None,
        "call_max_s": round(lasted[-1], 2) if lasted else None,
        "slowest": [
            f"{call.ended - call.began:.1f} s {call.name} {call.verdict.outcome}"
            for call in sorted(tally.calls, key=lambda call: call.began - call.ended)[:3]
        ],
        "seconds": round(tally.seconds),
        "counts": dict(tally.after.counts),
        "violations": tally.violations[:50],
    }


def show(figures: dict[str, Any]) -> None:
    """A table for people, then one line for programs."""
    for name, value in figures.items():
        if name not in {"violations", "counts"}:
            print(f"{name:>20}  {value}")
    for violation in figures["violations"][:20]:
        print(f"  VIOLATION {violation}")
    print(json.dumps(figures))


def run(options: Options) -> Tally:
    """One run in folders of its own; whatever happens, nothing of it outlives this call."""
    with tempfile.TemporaryDirectory(prefix="yunhan-chaos-") as folder, ExitStack() as stack:
        engine = None
        if options.rung == "docker":
            root = Path(tempfile.mkdtemp(prefix="yh-engine-"))
            stack.callback(shutil.rmtree, root, ignore_errors=True)
            engine = Engine(root)
            stack.callback(engine.stop)
            engine.start()
        chaos = Chaos(options, Path(folder), engine)
        stack.callback(lambda: chaos.program.process and chaos.program.kill())
        return chaos.run()


def main(given: Sequence[str] | None = None) -> int:
    defaults = Options(rung="")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rung", required=True)
    parser.add_argument("--calls", type=int, default=defaults.calls)
    parser.add_argument("--functions", type=int, default=defaults.functions)
    parser.add_argument("--callers", type=int, default=defaults.callers)
    parser.add_argument("--sandbox-kills", type=int, default=defaults.sandbox_kills)
    parser.add_argument("--engine-kills", type=int, default=defaults.engine_kills)
    parser.add_argument("--program-kills", type=int, default=defaults.program_kills)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    figures = report(run(Options(**vars(parser.parse_args(given)))))
    show(figures)
    return 1 if figures["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
