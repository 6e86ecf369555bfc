"""Kills sandboxes, the engine and the program at random moments, and sees when calls work again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable

from tests.chaos.tally import Fault, Tally
from tests.chaos.target import PROBE, Target

RECOVER_S = {"sandbox": 1.0, "engine": 20.0, "program": 0.0}
"""How long after a kill the next call may still fail with our blame; after a restart not once."""
_ORPHANS_MAX_S = 5.0  # far above the second it may take
# The last tenth is left alone, so that the counts afterwards are of a program that worked.
_FROM, _TO = 0.02, 0.9
_PROBES_MAX = 200
_PROBE_PAUSE_S = 0.1


class Killer:
    """One thread; the moments are numbers of calls that ended, so a run is the same on any machine."""

    def __init__(self, target: Target, tally: Tally) -> None:
        self._target = target
        self._tally = tally
        self._dice = random.Random(target.options.seed + 1)
        self._act: dict[str, Callable[[Fault], None]] = {
            "sandbox": self._kill_sandboxes,
            "engine": self._kill_engine,
            "program": self._kill_program,
        }

    def thread(self) -> threading.Thread:
        return threading.Thread(target=self._kill_all, name="killer")

    def _kill_all(self) -> None:
        for moment, kind in self._plan():
            while len(self._tally.calls) < moment:
                time.sleep(0.01)
            fault = Fault(kind, time.monotonic())
            self._tally.faults.append(fault)
            try:
                self._act[kind](fault)
                fault.ended = time.monotonic()
                self._probe(fault)
            except Exception as error:  # noqa: BLE001 - reported, and the callers go on
                self._tally.violations.append(f"after a kill ({kind}): {error!r}")
                self._target.up.set()
                return
            print(
                f"{self._target.options.rung}: {kind} killed, {len(self._tally.calls)} calls,"
                f" works again after {fault.recovered_s:.2f} s",
                file=sys.stderr,
            )

    def _plan(self) -> list[tuple[float, str]]:
        options = self._target.options
        kinds = ["sandbox"] * options.sandbox_kills + ["program"] * options.program_kills
        if self._target.on_rung.engine is not None:
            kinds += ["engine"] * options.engine_kills
        self._dice.shuffle(kinds)
        moments = sorted(self._dice.uniform(_FROM, _TO) * options.calls for _ in kinds)
        return list(zip(moments, kinds, strict=True))

    def _kill_sandboxes(self, fault: Fault) -> None:
        """One, a few or all of them; live or only starting."""
        found = self._target.on_rung.sandboxes()
        many = self._dice.choice([1, 3, 3, len(found)])
        for pid in self._dice.sample(found, min(many, len(found))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                fault.victims += 1
        fault.dead = time.monotonic()

    def _kill_engine(self, fault: Fault) -> None:
        engine = self._target.on_rung.engine
        assert engine is not None
        engine.kill()
        fault.victims, fault.dead = 1, time.monotonic()
        time.sleep(self._dice.uniform(0.0, 3.0))
        engine.start()

    def _kill_program(self, fault: Fault) -> None:
        on_rung = self._target.on_rung
        self._target.up.clear()
        on_rung.program.kill()
        fault.victims, fault.dead = 1, time.monotonic()
        while left := on_rung.machine.sandboxes(None):
            if time.monotonic() - fault.dead > _ORPHANS_MAX_S:
                self._tally.violations.append(
                    f"{len(left)} sandboxes outlive a killed program by {_ORPHANS_MAX_S:g} s"
                )
                break
            time.sleep(0.02)
        self._tally.orphans_s.append(time.monotonic() - fault.dead)
        time.sleep(self._dice.uniform(0.0, 0.5))
        on_rung.program.start()
        self._target.up.set()

    def _probe(self, fault: Fault) -> None:
        """The next calls work: at the latest when the bound of this kind of kill is over."""
        for number in range(1, _PROBES_MAX):
            began = time.monotonic()
            answer = self._target.invoke(PROBE, {"i": -number})
            if answer["Success"]:
                fault.recovered_s = time.monotonic() - fault.ended
                return
            fault.failed += 1
            error, after_s = answer["Error"], began - fault.ended
            if error["Blame"] != "ours":
                self._tally.blamed.append((answer["Outcome"], f"probe: {error['Message']}"))
            if after_s > RECOVER_S[fault.kind]:
                self._tally.violations.append(
                    f"a call {after_s:.2f} s after a kill ({fault.kind}):"
                    f" {answer['Outcome']}: {error}"
                )
            time.sleep(_PROBE_PAUSE_S)
