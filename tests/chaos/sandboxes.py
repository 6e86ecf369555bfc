"""Calls while sandboxes, the Docker engine and the whole program are killed. Seeded, bounded.

    python -m tests.chaos.run --only sandboxes --rung bubblewrap [--calls 1000] [--functions 50] [--seed N]
        [--sandbox-kills 40] [--engine-kills 4] [--program-kills 4] [--callers 6] [--results FILE]

Every call has one outcome that its caller knows: ok, a typed error with the right blame, or its connection
was cut by the death of the program, and then there is one record of it or none. No call hangs; after a
kill the next calls work. At the end nothing is left: the same counts of processes, containers, mounts,
sockets, folders, control groups and descriptors as before, and after the stop none.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.chaos import verdicts
from tests.chaos.callers import Callers
from tests.chaos.kills import Killer
from tests.chaos.options import read_options
from tests.chaos.records import Records
from tests.chaos.results import note, spread
from tests.chaos.rung_program import RungProgram, rung_program
from tests.chaos.stillness import IDLE_S, settled, settled_like, stopped
from tests.chaos.tally import Options, Tally
from tests.chaos.target import Target

RECORD_LAG_S = 1.0
"""Records younger than this may die with the program (they are written in batches)."""


def run(options: Options) -> Tally:
    """One run in folders of its own."""
    with rung_program(
        options.rung, YUNHAN_SANDBOXES_MAX="24", YUNHAN_SANDBOX_IDLE_S=str(IDLE_S)
    ) as on_rung:
        return _run(on_rung, Tally(options))


def _run(on_rung: RungProgram, tally: Tally) -> Tally:
    began = time.monotonic()
    nothing = on_rung.machine.snapshot(None)
    on_rung.program.start()
    target = Target.prepare(on_rung, tally.options)
    tally.violations += target.warm_up()
    tally.violations += _unrecognised(on_rung)
    tally.before = settled(on_rung)
    target.up.set()
    threads = [*Callers(target, tally).threads(), Killer(target, tally).thread()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tally.violations += target.warm_up()
    tally.after = settled_like(tally.before, on_rung, program=on_rung.pid)
    tally.violations += [
        f"after the run, {difference}" for difference in tally.before.difference(tally.after)
    ]
    tally.violations += Records(target.management, target.space_id).check(
        tally.calls,
        [fault.dead for fault in tally.of_kind("program")],
        RECORD_LAG_S,
        target.names,
    )
    tally.violations += stopped(nothing, on_rung)
    tally.violations += verdicts.violations(tally)
    tally.seconds = time.monotonic() - began
    return tally


def _unrecognised(on_rung: RungProgram) -> list[str]:
    """Else the check for orphans could not fail."""
    live = set(on_rung.sandboxes())
    known = set(on_rung.machine.strangers(set()))
    if on_rung.engine is None and not (live and live <= known):
        return ["sandboxes of a killed program could not be recognised"]
    return []


def report(tally: Tally) -> dict[str, Any]:
    """The figures of a run."""
    kinds = Counter(fault.kind for fault in tally.faults)
    slowest = sorted(tally.calls, key=lambda call: -call.seconds)[:3]
    return {
        "rung": tally.options.rung,
        "seed": tally.options.seed,
        "calls": len(tally.calls),
        "functions": tally.options.functions,
        "outcomes": dict(Counter(call.verdict.outcome for call in tally.calls).most_common()),
        "kills": dict(kinds),
        "sandboxes_killed": sum(fault.victims for fault in tally.of_kind("sandbox")),
        "recovered_max_s": {
            kind: round(max(fault.recovered_s for fault in tally.of_kind(kind)), 2)
            for kind in kinds
        },
        "orphans_max_s": round(max(tally.orphans_s, default=0.0), 2),
        "call_s": spread([call.seconds for call in tally.calls]),
        "slowest": [f"{call.seconds:.1f} s {call.name} {call.verdict.outcome}" for call in slowest],
        "seconds": round(tally.seconds),
        "counts": dict(tally.after.counts),
        "violations": tally.violations[:50],
    }


def main(given: Sequence[str] | None = None) -> int:
    assert __doc__
    options = read_options(Options, __doc__.partition("\n")[0], given)
    return note("sandboxes", report(run(options)), options.results)
