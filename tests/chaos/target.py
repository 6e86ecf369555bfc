"""What callers and killer share: the program under test, its functions, and whether it is up."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.rung_program import RungProgram
from tests.chaos.tally import Options
from tests.chaos.workload import TIMEOUT_S, Verdict, arguments, judge, kind_of, names, source
from tests.harness.management import Management

PROBE = "probe-0"
"""The function that is called after a kill."""
_WARM_ROUNDS = 3
_WARM_FUNCTIONS = 8


@dataclass(slots=True)
class Target:
    """Deploys the functions; `up` is clear while the program is dead."""

    on_rung: RungProgram
    options: Options
    management: Management
    space_id: str
    names: list[str]
    up: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def prepare(cls, on_rung: RungProgram, options: Options) -> Target:
        """On a started program."""
        management = Management(on_rung.program.endpoint, on_rung.program.access_key())
        space_id, _ = management.space("chaos")
        target = cls(on_rung, options, management, space_id, names(options.functions))
        for name in [*target.names, PROBE]:
            management.deploy(
                space_id,
                name,
                source("quick" if name == PROBE else kind_of(name)),
                Timeout=TIMEOUT_S,
            )
        return target

    def invoke(self, name: str, args: dict[str, Any]) -> dict[str, Any]:
        return self.management.invoke(self.space_id, name, args)

    def warm_up(self) -> list[str]:
        """Whatever is opened once is open before the first count and before the second. Violations."""

        def call(name: str) -> tuple[str, Verdict]:
            args = arguments(name, -1, random.Random(self.options.seed), self.names)
            return name, judge(name, -1, self.invoke(name, args))

        some = [PROBE, *self.names[:_WARM_FUNCTIONS]] * _WARM_ROUNDS
        with ThreadPoolExecutor(self.options.callers) as callers:
            verdicts = list(callers.map(call, some))
        return [
            f"warm-up of {name}: {verdict}"
            for name, verdict in verdicts
            if verdict.wrong or verdict.blamed_on_function or verdict.blame == "ours"
        ]
