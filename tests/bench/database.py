"""The database part of `make bench`: one document found by `_id`, one inserted, as ratios to the bare driver.

    bare       PyMongo's AsyncMongoClient on uvloop, in this process, same server, same durability
    function   `ctx.mpserverless.db` in a warm function, timed in Node.js: SDK, channel, worker, driver
    client     signed requests to `/client`, signed while the clock runs

Every variant has a collection of its own with the same documents, and one call under way at a time.
Two more figures tell how near `function` could come: a small message to Node.js and back over a unix socket,
which each call needs besides the driver, and how many calls a second 16 at once come to.
By itself: `python -m tests.bench.database`.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from pymongo import AsyncMongoClient, WriteConcern

from tests.bench.echo import echo_one_by_one, start_echo, wait_for_echo
from tests.harness.database_client import DatabaseClient
from tests.harness.database_sdk import set_rule
from tests.harness.management import Management
from tests.harness.program import Program, default_node
from tests.harness.program_processes import database_url

ROUNDS = 5
CALLS = 200
AT_ONCE = 16
MANY = 640
"""Calls with `AT_ONCE` under way."""
DOCUMENTS = 1000
"""Found by id, far below the size at which the embedded server gets slow."""
FUNCTION = "database"
SOURCE = """
const now = () => Number(process.hrtime.bigint()) / 1e9;

module.exports = async ({ mpserverless, args: { what, first, count, atOnce, documents, sample } }) => {
  const things = mpserverless.db.collection('function');
  const calls = {
    find: (number) => things.findOne({ _id: `person-${number % documents}` }),
    insert: (number) => things.insertOne({ ...sample, _id: `person-${number}` }),
  };
  const took = [];
  const began = now();
  let next = first;
  const some = async () => {
    while (next < first + count) {
      const before = now();
      const { affectedDocs } = await calls[what](next++);
      took.push(now() - before);
      if (affectedDocs !== 1) throw new Error(`${what}: affectedDocs is ${affectedDocs}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, some));
  return { took, seconds: now() - began };
};
"""
SAMPLE = {
    "name": "Tom",
    "age": 20,
    "city": "杭州",
    "tags": ["a", "b", "c"],
    "address": {"street": "Wensan Road 1", "code": "310000"},
}
"""What a small app keeps."""
WHATS = ("find", "insert")
VARIANTS = ("bare", "function", "client")


@dataclass(frozen=True, slots=True)
class Work:
    """Calls of one kind; numbers from `first` on name the documents."""

    what: str
    first: int
    count: int
    at_once: int = 1

    async def carry_out(self, call: Callable[[int], Awaitable[object]]) -> Measured:
        """In this process what `SOURCE` does in Node.js."""
        numbers = iter(range(self.first, self.first + self.count))
        took = []

        async def some() -> None:
            for number in numbers:
                before = time.perf_counter()
                await call(number)
                took.append(time.perf_counter() - before)

        began = time.perf_counter()
        await asyncio.gather(*(some() for _ in range(self.at_once)))
        return Measured(took, time.perf_counter() - began)


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of each call, and of all of them."""

    took: list[float]
    seconds: float


Variant = Callable[[Work], Awaitable[Measured]]


def bare(client: AsyncMongoClient[dict[str, Any]]) -> Variant:
    """The driver alone."""
    durable = WriteConcern(w="majority", j=True)
    things = client["bench"].get_collection("bare", write_concern=durable)
    calls: dict[str, Callable[[int], Awaitable[object]]] = {
        "find": lambda number: things.find_one({"_id": f"person-{number % DOCUMENTS}"}),
        "insert": lambda number: things.insert_one({"_id": f"person-{number}", **SAMPLE}),
    }
    return lambda work: work.carry_out(calls[work.what])


def over_client(host: str, space: tuple[str, str]) -> Variant:
    """An app; each call that is under way has a connection of its own."""

    async def ask(work: Work) -> Measured:
        async with AsyncExitStack() as stack:
            idle = [
                await stack.enter_async_context(DatabaseClient.open(host, space))
                for _ in range(work.at_once)
            ]

            async def call(number: int) -> None:
                client = idle.pop()
                found = await client.get(*commands[work.what], **arguments[work.what](number))
                idle.append(client)
                assert found["affectedDocs"] == 1, found

            return await work.carry_out(call)

    commands = {"find": ("findOne", "client"), "insert": ("insertOne", "client")}
    arguments: dict[str, Callable[[int], dict[str, Any]]] = {
        "find": lambda number: {"query": {"_id": f"person-{number % DOCUMENTS}"}},
        "insert": lambda number: {"doc": {"_id": f"person-{number}", **SAMPLE}},
    }
    return ask


def in_function(management: Management, space_id: str) -> Variant:
    """Many calls in one invocation, which are timed there."""

    async def run_there(work: Work) -> Measured:
        args = {
            "what": work.what,
            "first": work.first,
            "count": work.count,
            "atOnce": work.at_once,
            "documents": DOCUMENTS,
            "sample": SAMPLE,
        }
        answer = await asyncio.to_thread(management.invoke, space_id, FUNCTION, args)
        assert answer["Outcome"] == "ok", answer
        return Measured(**json.loads(answer["Result"]))

    return run_there


async def measure(program: Program, echo: Path) -> dict[str, float]:
    """All variants on a program that runs."""
    management = Management(program.endpoint, program.access_key())
    space = management.space("bench-db")
    set_rule(management, space[0], "client", "EXTENDED", {".read": True, ".write": True})
    management.deploy(space[0], FUNCTION, {"index.js": SOURCE}, Timeout=60)
    async with AsyncMongoClient[dict[str, Any]](database_url(program)) as driver:
        variants = {
            "bare": bare(driver),
            "function": in_function(management, space[0]),
            "client": over_client(f"127.0.0.1:{program.port}", space),
        }
        for variant in variants.values():  # what is found later; warms up all alike
            await variant(Work("insert", 0, DOCUMENTS))
            await variant(Work("find", 0, DOCUMENTS))
        return await _rounds(variants, echo)


async def _rounds(variants: Mapping[str, Variant], echo: Path) -> dict[str, float]:
    names = [f"{variant}_{what}" for variant in VARIANTS for what in WHATS]
    took: dict[str, list[float]] = {name: [] for name in names}
    rates: dict[str, list[float]] = {name: [] for name in names}
    socket: list[float] = []
    first = DOCUMENTS
    for _ in range(ROUNDS):
        socket += echo_one_by_one(echo, CALLS)
        for what in WHATS:
            for variant in VARIANTS:
                measured = await variants[variant](Work(what, first, CALLS))
                took[f"{variant}_{what}"] += measured.took
            for variant in VARIANTS:
                work = Work(what, first + CALLS, MANY, AT_ONCE)
                rates[f"{variant}_{what}"].append(MANY / (await variants[variant](work)).seconds)
        first += CALLS + MANY
    figures = {"database_socket_us": statistics.median(socket) * 1e6}
    for name in names:
        ordered = sorted(took[name])
        figures[f"database_{name}_us"] = statistics.median(ordered) * 1e6
        figures[f"database_{name}_p99_us"] = ordered[len(ordered) * 99 // 100] * 1e6
        figures[f"database_{name}_rate"] = statistics.median(rates[name])
    return figures


def report(f: dict[str, float]) -> str:
    """For people."""
    titles = {
        "bare": "PyMongo's AsyncMongoClient",
        "function": "ctx.mpserverless.db in a warm function",
        "client": "/client",
    }
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    lines = [
        f"database, embedded, {ROUNDS} rounds in turns, medians of single calls and rates with {AT_ONCE} at"
        f" once; load {load}",
        f"  {'unix socket to Node.js':<44}{f['database_socket_us']:.0f} us",
    ]
    for what in WHATS:
        done = "found by _id" if what == "find" else "inserted"
        lines.append(f"  one document {done}")
        for variant, title in titles.items():
            name = f"database_{variant}_{what}"
            value = f"{f[f'{name}_us']:.0f} us (p99 {f[f'{name}_p99_us']:.0f}), {f[f'{name}_rate']:.0f}/s"
            ratio = ""
            if variant != "bare":
                times = f[f"{name}_us"] / f[f"database_bare_{what}_us"]
                rates = f[f"{name}_rate"] / f[f"database_bare_{what}_rate"]
                ratio = f"{times:.2f}x the time, {rates:.2f}x the rate"
            lines.append(f"    {title:<42}{value:<32}{ratio}".rstrip())
    return "\n".join(lines)


def run() -> dict[str, float]:
    """On a program of its own, with logs and records."""
    with tempfile.TemporaryDirectory(prefix="yunhan-bench-") as folder:
        echo = Path(folder) / "echo.sock"
        child = start_echo(default_node(), echo)
        program = Program(Path(folder) / "data", YUNHAN_SANDBOX="process")
        try:
            program.start()
            wait_for_echo(echo)
            return uvloop.run(measure(program, echo))
        finally:
            program.stop()
            child.terminate()
            child.wait(10)


def main() -> int:
    figures = run()
    print(report(figures))
    print(json.dumps({name: round(value, 1) for name, value in figures.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
