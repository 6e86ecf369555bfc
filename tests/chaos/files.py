"""kill -9 of everything, the database included, while files are uploaded, overwritten and deleted. Seeded,
bounded.

    python -m tests.chaos.run --only files [--rounds 10] [--writers 7] [--seed N] [--results FILE]

With YUNHAN_TEST_FORM=distributed it is a gateway and a worker over RabbitMQ, one database, a shared folder.
Every round ends at a random moment: all processes die in a random order. After each start every path has one
of the contents that are possible after what its callers were told (`files_history`), and what no caller
touched is as it was. After the last one, when no sweep has anything left to do, records, bytes, lists and
downloads agree (`files_store`).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from aiohttp import ClientSession, ClientTimeout

from tests.chaos.files_history import UNREADABLE, Content
from tests.chaos.files_store import Behind, disagreements
from tests.chaos.files_surfaces import Keys, public_url
from tests.chaos.files_tally import Round, Tally, figures
from tests.chaos.files_writers import REQUEST_S, Place, start_writers
from tests.chaos.results import RESULTS, note
from tests.harness.management import Management
from tests.harness.polling import until
from tests.harness.program import Program
from tests.harness.program_processes import family, kill

_SETTINGS = {
    "YUNHAN_SANDBOX": "process",
    "YUNHAN_FILE_SIGN_TTL_S": "10",
    "YUNHAN_FILE_SWEEP_S": "1",
    "YUNHAN_FILE_SWEEP_GRACE_S": "3",
    "YUNHAN_FILE_STORE_TIMEOUT_S": "2.5",
}
_REST_BOUND_S = 90.0
"""Until sweeps have nothing left to do: twice the TTL, three times the grace, and a slow machine."""
_ANSWERS = (30, 150)
"""A round dies after a number of answers between these, ..."""
_AFTER_S = 0.05
"""... and up to so long after the last one, in the middle of whatever follows."""
_BETWEEN_S = (0.0, 0.0, 0.02)
"""At most so long between the deaths of two processes, by chance: those that are left see the others gone."""
_ROUND_BOUND_S = 60.0
_PAGE = 100


def run(*, rounds: int, writers: int, seed: int) -> Tally:
    """In a folder of its own."""
    dice = random.Random(seed)
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="yunhan-chaos-") as folder:
        program = Program(Path(folder) / "data", **_SETTINGS)
        try:
            program.start()
            place = _prepare(program)
            behind = Behind(program, place.space_id)
            for number in range(1, rounds + 1):
                asyncio.run(_round(program, place, behind, tally, number, writers, dice))
                print(tally.rounds[-1], file=sys.stderr)
                if tally.rounds[-1].faults:
                    print(program.log(), file=sys.stderr)
            asyncio.run(_end(place, behind, tally))
            code = program.stop()
            if code != 0:
                tally.violations.append(f"the program ended with {code}\n{program.log()}")
        finally:
            kill(family(program))
            program.kill()
    return tally


def _prepare(program: Program) -> Place:
    key = program.access_key()
    management = Management(program.endpoint, key)
    space_id, client_secret = management.space("chaos-files")
    keys = Keys(
        client_secret=client_secret,
        server_secret=management.server_secret(space_id),
        management=key,
    )
    return Place(endpoint=program.endpoint, space_id=space_id, keys=keys)


async def _round(
    program: Program,
    place: Place,
    behind: Behind,
    tally: Tally,
    number: int,
    writers: int,
    dice: random.Random,
) -> None:
    """Write, kill, start, look."""
    history = tally.written.history
    before = list(history.all())
    killed, under_way = await _die(program, place, tally, number, writers, dice)
    left = behind.under_way()
    program.start()
    history.die(time.monotonic())
    tally.violations += [
        f"after kill {number}: left of an upload: {each}" for each in behind.under_way()
    ]
    waiting = await behind.waiting()
    faults = await _look(place, tally, f"after kill {number}")
    made = list(history.all())
    tally.rounds.append(
        Round(
            number=number,
            killed=killed,
            sent=len(made) - len(before),
            acknowledged=sum(each.done for each in made) - sum(each.done for each in before),
            under_way=under_way,
            spooled=len(left),
            waiting=waiting,
            files=sum(content is not None for content in tally.found.values()),
            faults=faults,
        )
    )


async def _die(
    program: Program, place: Place, tally: Tally, number: int, writers: int, dice: random.Random
) -> tuple[int, Counter[str]]:
    """How many processes died, and what was under way. Returns when every writer knows."""
    history = tally.written.history
    last = history.answers + dice.randrange(*_ANSWERS)
    async with asyncio.timeout(_ROUND_BOUND_S), asyncio.TaskGroup() as group:
        tasks = start_writers(group, place, tally.written, number=number, count=writers, dice=dice)
        await until(lambda: history.answers >= last, "answers", seconds=_ROUND_BOUND_S)
        await asyncio.sleep(dice.uniform(0, _AFTER_S))
        tally.violations += [
            f"before kill {number}: {task.get_name()} lost its connection"
            for task in tasks
            if task.done()
        ]
        under_way = Counter(each.kind.value for each in history.under_way())
        pids = family(program)
        dice.shuffle(pids)
        for pid in pids:
            kill([pid])
            await asyncio.sleep(dice.uniform(0, dice.choice(_BETWEEN_S)))
        await asyncio.to_thread(program.kill)  # reaps
    return len(pids), under_way


async def _look(place: Place, tally: Tally, when: str) -> int:
    """Download every path; how many violations that shows."""
    history = tally.written.history
    async with ClientSession(timeout=ClientTimeout(total=REQUEST_S)) as http:
        for path in sorted(history.paths):
            tally.found[path] = await _download(http, place, path)
    faults = [f"{when}: {fault}" for fault in history.look(tally.found)]
    tally.violations += faults
    return len(faults)


async def _download(http: ClientSession, place: Place, path: str) -> Content:
    """None where there is no such file; another answer than the file begins with `UNREADABLE`."""
    url = public_url(place.endpoint, place.space_id, path)
    async with http.get(url) as answer:
        if answer.status == 404:
            return None
        if answer.status != 200:
            return f"{UNREADABLE}{answer.status} {await answer.text()}"
        digest = hashlib.sha256()
        async for chunk in answer.content.iter_any():
            digest.update(chunk)
    return digest.hexdigest()


async def _end(place: Place, behind: Behind, tally: Tally) -> None:
    """Wait for the sweeps, and compare everything with everything."""
    began = time.monotonic()

    async def at_rest() -> bool:
        return not await behind.waiting()

    try:
        await until(at_rest, "sweeps at rest", seconds=_REST_BOUND_S, every_s=0.2)
    except AssertionError as error:
        tally.violations.append(str(error))
    tally.at_rest_s = time.monotonic() - began
    await _look(place, tally, "after the sweeps")
    tally.kept = await behind.read()
    listed = await asyncio.to_thread(_list, place)
    tally.violations += disagreements(tally.kept, listed=listed, found=tally.found)
    tally.violations += tally.written.history.refusals()


def _list(place: Place) -> dict[str, int]:
    """`ListFile`: paths and sizes."""
    management = Management(place.endpoint, place.keys.management)
    found: dict[str, int] = {}
    token = ""
    while True:
        page = management.call("ListFile", SpaceId=place.space_id, PageSize=_PAGE, NextToken=token)
        found |= {each["Path"]: each["Size"] for each in page["DataList"]}
        token = page["Paginator"].get("NextToken", "")
        if not token:
            return found


def main(given: Sequence[str] | None = None) -> int:
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="run --only files", description=__doc__.partition("\n\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--writers", type=int, default=7)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(given)
    tally = run(rounds=options.rounds, writers=options.writers, seed=options.seed)
    told = {
        "rung": "process",
        "form": os.environ.get("YUNHAN_TEST_FORM", "up"),
        "seed": options.seed,
        "writers": options.writers,
        **figures(tally),
    }
    return note("files", told, options.results)


if __name__ == "__main__":
    sys.exit(main())
