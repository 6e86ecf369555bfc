"""kill -9 of everything, the database included, while clients and functions write. Seeded, bounded.

    python -m tests.chaos.run --only database [--rounds 10] [--writers 6] [--seed N] [--results FILE]

Every round ends at a random answer: all processes of the program die in a random order. On the next start
every document whose write was acknowledged must be there as it was sent, in this round and those before; no
half of a transaction; a counter between the increments that were acknowledged and those that were sent.
Writes are insertOne and insertMany, transactions, `$inc`, and insertOne inside a function.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.database_writers import (
    COLLECTION,
    COUNTER,
    FILES,
    FUNCTION,
    Writes,
    content_of,
    start_writers,
)
from tests.chaos.results import RESULTS, note
from tests.harness.database_client import DatabaseClient
from tests.harness.database_sdk import set_rule
from tests.harness.management import Management
from tests.harness.polling import until
from tests.harness.program import Program
from tests.harness.program_processes import family, kill

_ANSWERS = (20, 300)
"""A round dies after a number of answers between these."""
_PAGE = 500
_ROUND_BOUND_S = 60.0


@dataclass(frozen=True, slots=True)
class Round:
    """Counts of documents: of one round what was acknowledged, of which found and lost after its restart."""

    number: int
    killed: int
    acknowledged: int
    found: int
    lost: int
    sent: int

    def __str__(self) -> str:
        return (
            f"kill {self.number}: {self.killed} processes; documents sent {self.sent},"
            f" acknowledged {self.acknowledged}, found {self.found}, lost {self.lost}"
        )


@dataclass(slots=True)
class Tally:
    """What was seen in all rounds."""

    rounds: list[Round] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    writes: Writes = field(default_factory=Writes)
    counter: int = 0


def run(*, rounds: int, writers: int, seed: int) -> Tally:
    """In a folder of its own."""
    dice = random.Random(seed)
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="yunhan-chaos-") as folder:
        program = Program(Path(folder) / "data", YUNHAN_SANDBOX="process")
        try:
            program.start()
            space = _prepare(program)
            asyncio.run(_check(program, space, tally, number=0))
            for number in range(1, rounds + 1):
                before = len(tally.writes.sent)
                killed = asyncio.run(_die(program, space, tally, number, writers, dice))
                program.kill()  # reaps
                program.start()
                lost = asyncio.run(_check(program, space, tally, number=number))
                acknowledged = sum(each == number for each in tally.writes.acknowledged.values())
                seen = Round(
                    number=number,
                    killed=killed,
                    acknowledged=acknowledged,
                    found=acknowledged - lost,
                    lost=lost,
                    sent=len(tally.writes.sent) - before,
                )
                tally.rounds.append(seen)
                print(seen, file=sys.stderr)
            code = program.stop()
            if code != 0:
                tally.violations.append(f"the program ended with {code}\n{program.log()}")
        finally:
            kill(family(program))
            program.kill()
    return tally


def _prepare(program: Program) -> tuple[str, str]:
    management = Management(program.endpoint, program.access_key())
    space = management.space("chaos-db")
    set_rule(management, space[0], COLLECTION, "EXTENDED", {".read": True, ".write": True})
    management.deploy(space[0], FUNCTION, FILES)
    return space


async def _die(
    program: Program,
    space: tuple[str, str],
    tally: Tally,
    number: int,
    writers: int,
    dice: random.Random,
) -> int:
    """Write, and kill when enough was answered. Returns when every writer knows: how many processes died."""
    host = f"127.0.0.1:{program.port}"
    last = tally.writes.answers + dice.randrange(*_ANSWERS)
    async with asyncio.timeout(_ROUND_BOUND_S), asyncio.TaskGroup() as group:
        start_writers(group, tally.writes, host, space, number=number, count=writers, dice=dice)
        await until(lambda: tally.writes.answers >= last, "writes", seconds=_ROUND_BOUND_S)
        pids = family(program)
        dice.shuffle(pids)
        kill(pids)
    return len(pids)


async def _check(program: Program, space: tuple[str, str], tally: Tally, *, number: int) -> int:
    """How many documents acknowledged in this round are lost; every violation is noted."""
    writes, violations = tally.writes, tally.violations
    async with DatabaseClient.open(f"127.0.0.1:{program.port}", space) as client:
        if number == 0:
            await client.get("insertOne", COLLECTION, doc={"_id": COUNTER, "n": 0})
        found = await _find(client, sorted(writes.sent))
        count = await client.get("count", COLLECTION, query={})
        counter = await client.get("findOne", COLLECTION, query={"_id": COUNTER})
    missing = sorted(writes.acknowledged.keys() - found.keys())
    violations += [f"after kill {number}: {name} is lost" for name in missing]
    violations += [
        f"after kill {number}: {name} has other content"
        for name, content in found.items()
        if content != content_of(name)
    ]
    violations += [
        f"after kill {number}: a half of transaction {first}, {second}"
        for first, second in writes.pairs
        if (first in found) != (second in found)
    ]
    if count["result"] != len(found) + 1:
        violations.append(
            f"after kill {number}: {count['result']} documents, {len(found)} were sent"
        )
    tally.counter = counter["result"]["n"]
    if not writes.increments_acknowledged <= tally.counter <= writes.increments_sent:
        violations.append(
            f"after kill {number}: counter {tally.counter}, increments acknowledged"
            f" {writes.increments_acknowledged}, sent {writes.increments_sent}"
        )
    return sum(writes.acknowledged[name] == number for name in missing)


async def _find(client: DatabaseClient, names: list[str]) -> dict[str, str]:
    """Content of those that are there."""
    found: dict[str, str] = {}
    for start in range(0, len(names), _PAGE):
        page = {"_id": {"$in": names[start : start + _PAGE]}}
        for each in (await client.get("find", COLLECTION, query=page))["result"]:
            found[each["_id"]] = each["content"]
    return found


def figures(tally: Tally) -> dict[str, object]:
    """For the file of results."""
    writes = tally.writes
    return {
        "kills": len(tally.rounds),
        "sent": len(writes.sent),
        "acknowledged": len(writes.acknowledged),
        "lost": sum(each.lost for each in tally.rounds),
        "increments_sent": writes.increments_sent,
        "increments_acknowledged": writes.increments_acknowledged,
        "counter": tally.counter,
        "refused": len(writes.refused),
        "violations": tally.violations[:50],
    }


def main(given: Sequence[str] | None = None) -> int:
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="run --only database", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--writers", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(given)
    tally = run(rounds=options.rounds, writers=options.writers, seed=options.seed)
    told = {"rung": "process", "seed": options.seed, "writers": options.writers, **figures(tally)}
    return note("database", told, options.results)


if __name__ == "__main__":
    sys.exit(main())
