"""`make chaos`: kill -9 of the whole program at random points of deployments and calls. Seeded, bounded.

    python -m tests.chaos.run [--kills 20] [--deployments 200] [--calls 2000] [--seed N] [--results FILE]
    python -m tests.chaos.run --only sandboxes --rung bubblewrap   (see tests/chaos/sandboxes.py)
    python -m tests.chaos.run --only burst --rung bubblewrap       (see tests/chaos/burst.py)
    python -m tests.chaos.run --only database                      (see tests/chaos/database.py)
    python -m tests.chaos.run --only files                         (see tests/chaos/files.py)
    python -m tests.chaos.run --only distributed                   (see tests/chaos/distributed/main.py)
    python -m tests.chaos.run --summary            noted runs of the distributed form, and their sums

After each restart every deployment whose `DeployFunction` was answered must be there and run, and must be
the one that answers. Calls under way when the program dies may fail; a call that was answered must
have been answered right. At the end nothing of the killed programs may be left: no process, no socket folder.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import urllib.error
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from runtime.data_dir import DataDir
from tests.chaos import burst, database, files, sandboxes
from tests.chaos.distributed import main as distributed
from tests.chaos.distributed.records import RECORDS, summary
from tests.chaos.results import RESULTS, note
from tests.harness.management import Management, ManagementError
from tests.harness.program import Program

FUNCTIONS = 10


@dataclass
class Tally:
    """What happened, over all lives of the program."""

    deployments: int = 0
    calls: int = 0
    failed_calls: int = 0
    kills: int = 0
    checked: int = 0
    errors: list[str] = field(default_factory=list)


def source(version: int) -> dict[str, str]:
    return {"index.js": f"module.exports = async (ctx) => ({{ v: {version}, i: ctx.args.i }});\n"}


class Life:
    """Deployments and calls until the program dies or the quota of this life is used up."""

    def __init__(
        self, management: Management, space_id: str, tally: Tally, acknowledged: dict[str, int]
    ) -> None:
        self.management = management
        self.space_id = space_id
        self.tally = tally
        self.acknowledged = acknowledged
        self.pending: dict[str, int] = {}
        """Deployments whose answer we have not seen: either version may be live."""

    def deploy(self, name: str, version: int) -> None:
        self.pending[name] = version
        self.management.deploy(self.space_id, name, source(version))
        self.acknowledged[name] = version
        del self.pending[name]
        self.tally.deployments += 1

    def call(self, name: str, number: int) -> None:
        answer = self.management.invoke(self.space_id, name, {"i": number})
        self.tally.calls += 1
        allowed = {self.acknowledged.get(name), self.pending.get(name)}
        if not answer["Success"]:
            self.tally.errors.append(f"{name}: {answer['Error']}")
        else:
            result = json.loads(answer["Result"])
            if result["v"] not in allowed or result["i"] != number:
                self.tally.errors.append(f"{name} answered {result}, allowed {allowed}")

    def check_all(self) -> None:
        """Every acknowledged deployment is there and runs."""
        for name in sorted(self.acknowledged):
            self.call(name, -1)
            self.tally.checked += 1


def leftovers(data_dir: Path) -> list[str]:
    """Processes and folders that belong to this data directory though no program runs."""
    run_dir = DataDir(data_dir).run
    marks = (str(data_dir), str(run_dir))
    found = [str(run_dir)] if run_dir.exists() else []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        command = text.replace(b"\0", b" ").decode(errors="replace")
        if any(mark in command for mark in marks) and "tests.chaos" not in command:
            found.append(f"process {process.name}: {command[:120]}")
    return found


def live(life: Life, dice: random.Random, *, deployments: int, calls: int, first: int) -> None:
    """One life's work, deployments and calls mixed; ends early when the program is gone."""
    work = ["deploy"] * deployments + ["call"] * calls
    dice.shuffle(work)
    version = first
    for number, step in enumerate(work):
        try:
            if step == "deploy" or not life.acknowledged:
                version += 1
                life.deploy(f"f{dice.randrange(FUNCTIONS)}", version)
            else:
                life.call(dice.choice(sorted(life.acknowledged)), number)
        except (urllib.error.URLError, ConnectionError, TimeoutError, ManagementError) as error:
            if isinstance(error, ManagementError):
                life.tally.errors.append(str(error))
            life.tally.failed_calls += 1
            return


def run(kills: int, deployments: int, calls: int, seed: int) -> Tally:
    dice = random.Random(seed)
    tally = Tally()
    acknowledged: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="yunhan-chaos-") as folder, ExitStack() as stack:
        program = Program(Path(folder) / "data", YUNHAN_SANDBOX="process").start()
        stack.callback(program.kill)  # whatever happens here, it does not outlive us
        management = Management(program.endpoint, program.access_key())
        space_id, _ = management.space("chaos")
        version = 0
        lives = kills + 1
        while tally.kills < kills or tally.deployments < deployments or tally.calls < calls:
            life = Life(management, space_id, tally, acknowledged)
            last = tally.kills >= kills
            # The lives before the last are cut short, so the last one makes up what is missing.
            share_d = deployments // lives + 2 if not last else deployments - tally.deployments
            share_c = calls // lives + 20 if not last else calls - tally.calls
            killer = None
            if not last:
                killer = threading.Timer(dice.uniform(0.05, 3.0), program.kill)
                killer.start()
            live(life, dice, deployments=max(0, share_d), calls=max(0, share_c), first=version)
            version += 10_000
            if killer is None:
                continue
            killer.join()
            program.kill()
            tally.kills += 1
            program.start()
            for name, pending in life.pending.items():  # not acknowledged: find out which one it is
                try:
                    answer = management.invoke(space_id, name)
                except ManagementError:
                    if name in acknowledged:  # what was acknowledged before must still be there
                        tally.errors.append(f"{name} is gone after kill {tally.kills}")
                    continue
                if answer["Success"] and json.loads(answer["Result"])["v"] == pending:
                    acknowledged[name] = pending
            Life(management, space_id, tally, acknowledged).check_all()
            print(
                f"kill {tally.kills}/{kills}: {tally.deployments} deployments,"
                f" {tally.calls} calls, {len(tally.errors)} errors",
                file=sys.stderr,
            )
        Life(management, space_id, tally, acknowledged).check_all()
        code = program.stop()
        if code != 0:
            tally.errors.append(f"the program ended with {code}\n{program.log()}")
        tally.errors += [f"left behind: {what}" for what in leftovers(program.data_dir)]
    return tally


def programs(given: Sequence[str] | None = None) -> int:
    """Kills of `yunhan up` as a whole."""
    parser = argparse.ArgumentParser(prog="run --only programs")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--deployments", type=int, default=200)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(given)
    tally = run(options.kills, options.deployments, options.calls, options.seed)
    figures = {
        "rung": "process",
        "seed": options.seed,
        "kills": tally.kills,
        "deployments": tally.deployments,
        "calls": tally.calls,
        "cut_off": tally.failed_calls,
        "checked_after_restarts": tally.checked,
        "violations": tally.errors[:50],
    }
    return note("programs", figures, options.results)


ELSEWHERE = {
    "sandboxes": sandboxes.main,
    "burst": burst.main,
    "database": database.main,
    "files": files.main,
    "distributed": distributed.main,
    "programs": programs,
}
"""Fault tests with arguments of their own."""


def main() -> int:
    """Without `--only` the faults of whole programs, in both forms."""
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--only", choices=sorted(ELSEWHERE))
    first.add_argument("--summary", action="store_true")
    chosen, rest = first.parse_known_args()
    if chosen.summary:
        print(summary(RECORDS))
        return 0
    if chosen.only:
        return ELSEWHERE[chosen.only](rest)
    if rest:  # arguments are those of the first
        return programs(rest)
    return max(programs(rest), distributed.main(rest))


if __name__ == "__main__":
    sys.exit(main())
