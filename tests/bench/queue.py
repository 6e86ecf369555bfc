"""The RabbitMQ part of `make bench`: everything on one broker, variants in turns, ratios to bare aio-pika.

    bare     aio-pika echo RPC, two processes
    port     `Queue.call` here, `take` and `finish` in another process, no sandbox
    whole    HTTP client -> yunhan gateway -> queue -> yunhan worker -> sandbox, and back; logs and records on

and confirmed publishes to a quorum queue: bare, `Queue.enqueue`, and over HTTP (a trigger that answers 202).
By itself: `python -m tests.bench.queue`.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import structlog
import uvloop

from runtime.testing.async_queue import async_job
from runtime.testing.queue import sample_job
from tests.bench.rabbitmq_echo import PREFETCH, Call, bare_echo, bare_publishes, until_ready
from tests.harness.distributed import DistributedProgram
from tests.harness.management import Management
from tests.harness.rabbitmq import RabbitMq, missing_reason
from tests.harness.rabbitmq_queue import delete_queues, new_options, rabbitmq_queue
from tests.harness.rabbitmq_worker import start_worker
from tests.harness.sdk_http import Connection, authorize, http_post, invoke_request

ROUNDS = 5
SEQUENTIAL = 400
IN_FLIGHT = 64
CONCURRENT = 3200
HELLO = "module.exports = async (ctx) => ({ text: `hello ${ctx.args.name}` });\n"
HOOK = "module.exports = async () => ({ done: true });\n"
SLOTS = "16"


class Variant:
    """One thing that is measured: seconds of single calls, calls a second of many."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.seconds: list[float] = []
        self.rates: list[float] = []

    async def one_by_one(self, count: int) -> None:
        for _ in range(count):
            began = time.perf_counter()
            await self.call()
            self.seconds.append(time.perf_counter() - began)

    async def in_flight(self, count: int) -> None:
        left = iter(range(count))

        async def some() -> None:
            for _ in left:
                await self.call()

        began = time.perf_counter()
        await asyncio.gather(*(some() for _ in range(IN_FLIGHT)))
        self.rates.append(count / (time.perf_counter() - began))

    @property
    def median_us(self) -> float:
        return statistics.median(self.seconds) * 1e6

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)


@asynccontextmanager
async def port_calls(url: str) -> AsyncIterator[Call]:
    options = replace(new_options(url), call_prefetch=PREFETCH)
    queue = rabbitmq_queue(options)
    worker = start_worker(url, options.prefix, "echo")
    try:
        await until_ready(worker)
        async with queue.open():
            yield lambda: queue.call(sample_job())
    finally:
        worker.kill()
        worker.wait()
        if worker.stdout is not None:
            worker.stdout.close()
        await delete_queues(options)


@asynccontextmanager
async def port_enqueues(url: str) -> AsyncIterator[Call]:
    """Of one space: one shard, one quorum queue, as the bare ones."""
    options = new_options(url)
    queue = rabbitmq_queue(options)
    try:
        async with queue.open():
            yield lambda: queue.enqueue(async_job())
    finally:
        await delete_queues(options)


@contextmanager
def programs(url: str, folder: Path) -> Iterator[DistributedProgram]:
    """A gateway and a worker on that broker."""
    program = DistributedProgram(
        folder / "data", YUNHAN_QUEUE_URL=url, YUNHAN_SANDBOX="process", YUNHAN_SLOTS=SLOTS
    )
    program.start()
    try:
        yield program
    finally:
        program.stop()


@asynccontextmanager
async def over_http(program: DistributedProgram) -> AsyncIterator[tuple[Call, Call]]:
    """A whole synchronous call by /client, and an asynchronous one by a trigger."""
    management = Management(program.endpoint, program.access_key())
    space_id, secret = management.space("bench")
    management.deploy(space_id, "hello", {"index.js": HELLO})
    management.call(
        "UpdateFunction", SpaceId=space_id, Name="hello", InstanceConcurrency=16, Memory=512
    )
    management.deploy(space_id, "hook", {"index.js": HOOK})
    management.call("UpdateFunction", SpaceId=space_id, Name="hook", HttpTriggerPath="/http/hook")
    management.call("UpdateHttpTriggerConfig", SpaceId=space_id, EnableService=True)
    host = f"127.0.0.1:{program.port}"
    token = await authorize(host, space_id, secret)
    invoke = invoke_request(host, space_id, secret, token, "hello", {"name": "world"})
    hook = http_post(host, f"/trigger/{space_id}/http/hook", b"{}")
    free = [await Connection.open(host) for _ in range(IN_FLIGHT)]

    async def call(request: bytes) -> None:
        connection = free.pop()
        try:
            await connection.send(request)
        finally:
            free.append(connection)

    try:
        yield lambda: call(invoke), lambda: call(hook)
    finally:
        for connection in free:
            await connection.close()


async def measure(url: str, folder: Path) -> dict[str, Variant]:
    """Every variant stays open for the whole run; they take turns."""
    with programs(url, folder) as program:
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            whole, _ = await enter(over_http(program))
            calls = {
                "bare": Variant(await enter(bare_echo(url))),
                "port": Variant(await enter(port_calls(url))),
                "whole": Variant(whole),
            }
            publishes = {
                "bare publish": Variant(await enter(bare_publishes(url))),
                "enqueue": Variant(await enter(port_enqueues(url))),
            }
            variants = calls | publishes
            for variant in variants.values():
                await Variant(variant.call).in_flight(640)  # warm up all alike
            for _ in range(ROUNDS):
                for variant in calls.values():
                    await variant.one_by_one(SEQUENTIAL)
                for variant in variants.values():
                    await variant.in_flight(CONCURRENT)
    return variants


def figures(variants: dict[str, Variant]) -> dict[str, float]:
    bare, publish = variants["bare"], variants["bare publish"]
    numbers = {"rabbitmq_bare_us": bare.median_us, "rabbitmq_bare_rate": bare.rate}
    for name in ("port", "whole"):
        variant = variants[name]
        numbers |= {
            f"rabbitmq_{name}_us": variant.median_us,
            f"rabbitmq_{name}_ratio": variant.median_us / bare.median_us,
            f"rabbitmq_{name}_rate": variant.rate,
            f"rabbitmq_{name}_rate_ratio": variant.rate / bare.rate,
        }
    enqueue = variants["enqueue"]
    return numbers | {
        "rabbitmq_publish_rate": publish.rate,
        "rabbitmq_enqueue_rate": enqueue.rate,
        "rabbitmq_enqueue_ratio": enqueue.rate / publish.rate,
    }


def report(f: dict[str, float]) -> str:
    rows = [
        (
            "aio-pika echo RPC",
            f"{f['rabbitmq_bare_us']:.0f} us, {f['rabbitmq_bare_rate']:.0f}/s",
            "",
        )
    ]
    for name, title in (("port", "the Queue port alone"), ("whole", "whole call over HTTP")):
        rows.append(
            (
                title,
                f"{f[f'rabbitmq_{name}_us']:.0f} us, {f[f'rabbitmq_{name}_rate']:.0f}/s",
                f"{f[f'rabbitmq_{name}_ratio']:.2f}x the time,"
                f" {f[f'rabbitmq_{name}_rate_ratio']:.2f}x the rate",
            )
        )
    rows += [
        ("aio-pika confirmed publishes, quorum", f"{f['rabbitmq_publish_rate']:.0f}/s", ""),
        (
            "Queue.enqueue",
            f"{f['rabbitmq_enqueue_rate']:.0f}/s",
            f"{f['rabbitmq_enqueue_ratio']:.2f}x the rate",
        ),
    ]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    lines = [
        f"RabbitMQ, {ROUNDS} rounds in turns, median of single calls and rate with {IN_FLIGHT} in flight;"
        f" load {load}"
    ]
    lines += [f"  {name:<44}{value:<30}{ratio}" for name, value, ratio in rows]
    return "\n".join(lines)


def run() -> dict[str, float]:
    """With a broker of its own. Raises AssertionError where there is none."""
    assert not missing_reason(), missing_reason()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with tempfile.TemporaryDirectory(prefix="yunhan-bench-") as folder:
        broker = RabbitMq(Path(folder) / "broker").start()
        try:
            return figures(uvloop.run(measure(broker.url, Path(folder))))
        finally:
            broker.stop()


def main() -> int:
    if reason := missing_reason():
        print(reason, file=sys.stderr)
        return 2
    numbers = run()
    print(report(numbers))
    print(json.dumps({name: round(value, 4) for name, value in numbers.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
