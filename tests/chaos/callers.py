"""Those who call at random while others kill, and note what each of their calls came to."""

from __future__ import annotations

import http.client
import random
import threading
import time
import urllib.error
from collections.abc import Sequence

from tests.chaos.tally import Call, Tally
from tests.chaos.target import Target
from tests.chaos.workload import Verdict, arguments, judge
from tests.harness.management import ManagementError

_UP_WAIT_S = 120.0
# Calls that fail at once must not use up the run.
_FAILED_PAUSE_S = 0.1


class Callers:
    """As many threads as the options say, over one row of numbered calls."""

    def __init__(self, target: Target, tally: Tally) -> None:
        self._target = target
        self._tally = tally
        self._lock = threading.Lock()
        self._next = 0

    def threads(self) -> Sequence[threading.Thread]:
        return [
            threading.Thread(target=self._call_all, args=(caller,), name=f"caller {caller}")
            for caller in range(self._target.options.callers)
        ]

    def _call_all(self, caller: int) -> None:
        dice = random.Random(self._target.options.seed * 1000 + caller)
        while (number := self._take_number()) is not None:
            self._target.up.wait(_UP_WAIT_S)
            call = self._call(dice.choice(self._target.names), number, dice)
            with self._lock:
                self._tally.calls.append(call)
            if call.verdict.blame == "ours" or call.verdict.outcome == "cut":
                time.sleep(_FAILED_PAUSE_S)

    def _take_number(self) -> int | None:
        with self._lock:
            self._next += 1
            return self._next if self._next <= self._target.options.calls else None

    def _call(self, name: str, number: int, dice: random.Random) -> Call:
        args = arguments(name, number, dice, self._target.names)
        began = time.monotonic()
        request_id = ""
        try:
            answer = self._target.invoke(name, args)
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
