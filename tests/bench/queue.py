"""The RabbitMQ part of `make bench`: everything on one broker, variants in turns, ratios to bare aio-pika.

    bare     aio-pika echo RPC, two processes
    port     `Queue.call` here, `take` and `finish` in another process, no sandbox
    whole    HTTP client -> yunhan gateway -> queue -> yunhan worker -> sandbox, and back; logs and records on

Two more steps that `whole` cannot do without tell how near it could come: a request to aiohttp that does
nothing, and a small message to Node.js and back over a unix socket.

Then confirmed publishes to a quorum queue: bare, `Queue.enqueue`, and over HTTP (a trigger that answers 202;
an entry in the ledger comes first). Nobody takes those jobs meanwhile.
By itself: `python -m tests.bench.queue`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
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
from tests.bench.echo import MESSAGE, start_echo, wait_for_echo
from tests.bench.floor import start_floor, until_answers
from tests.bench.processor_time import ProcessorTime, tree
from tests.bench.rabbitmq_echo import PREFETCH, Call, bare_echo, bare_publishes, until_ready
from tests.harness.distributed import DistributedProgram
from tests.harness.management import Management
from tests.harness.program import default_node, free_port
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
ACCEPTED = 640
"""Jobs over HTTP in one round: each costs a write to the document database, too."""


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
    management.call("YunhanUpdateFunctionAsync", SpaceId=space_id, Name="hook", Http="true")
    management.call("UpdateHttpTriggerConfig", SpaceId=space_id, EnableService=True)
    host = f"127.0.0.1:{program.port}"
    token = await authorize(host, space_id, secret)
    invoke = invoke_request(host, space_id, secret, token, "hello", {"name": "world"})
    hook = http_post(
        host, f"/trigger/{space_id}/http/hook", b"{}", {"x-yunhan-invocation": "async"}
    )
    free = [await Connection.open(host) for _ in range(IN_FLIGHT)]

    async def call(request: bytes, wanted: str) -> None:
        connection = free.pop()
        try:
            await connection.send(request, wanted=wanted)
        finally:
            free.append(connection)

    try:
        yield lambda: call(invoke, "200"), lambda: call(hook, "202")
    finally:
        for connection in free:
            await connection.close()


@asynccontextmanager
async def idle_http() -> AsyncIterator[Call]:
    """A request to aiohttp that does nothing."""
    port = free_port()
    server = start_floor(port)
    request = http_post("localhost", "/", b"{}")
    host = f"127.0.0.1:{port}"
    try:
        await until_answers(host, request)
        free = [await Connection.open(host) for _ in range(IN_FLIGHT)]

        async def call() -> None:
            connection = free.pop()
            try:
                await connection.send(request)
            finally:
                free.append(connection)

        yield call
        for connection in free:
            await connection.close()
    finally:
        server.terminate()
        server.wait(10)


@asynccontextmanager
async def node_echo(folder: Path) -> AsyncIterator[Call]:
    """A small message to Node.js and back."""
    address = folder / "echo.sock"
    server = start_echo(await asyncio.to_thread(default_node), address)
    try:
        await asyncio.to_thread(wait_for_echo, address)
        free = [await asyncio.open_unix_connection(str(address)) for _ in range(IN_FLIGHT)]

        async def call() -> None:
            reader, writer = free.pop()
            try:
                writer.write(MESSAGE)
                await reader.readexactly(len(MESSAGE))
            finally:
                free.append((reader, writer))

        yield call
        for _, writer in free:
            writer.close()
            await writer.wait_closed()
    finally:
        server.terminate()
        server.wait(10)


async def measure(broker: RabbitMq, folder: Path) -> tuple[dict[str, Variant], ProcessorTime]:
    """Every variant stays open for the whole run; they take turns."""
    url = broker.url
    with programs(url, folder) as program:
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            whole, accept = await enter(over_http(program))
            calls = {
                "bare": Variant(await enter(bare_echo(url))),
                "port": Variant(await enter(port_calls(url))),
                "whole": Variant(whole),
                "http": Variant(await enter(idle_http())),
                "socket": Variant(await enter(node_echo(folder))),
            }
            publishes = {
                "bare publish": Variant(await enter(bare_publishes(url))),
                "enqueue": Variant(await enter(port_enqueues(url))),
            }
            variants = calls | publishes
            for variant in variants.values():
                await Variant(variant.call).in_flight(640)  # warm up all alike
            spent = ProcessorTime(processes(program, broker))
            for _ in range(ROUNDS):
                for variant in calls.values():
                    await variant.one_by_one(SEQUENTIAL)
                for variant in variants.values():
                    if variant is calls["whole"]:
                        with spent:
                            await variant.in_flight(CONCURRENT)
                        spent.count(CONCURRENT)
                    else:
                        await variant.in_flight(CONCURRENT)
            # a deployed worker would run what is accepted, on the same two cores
            await asyncio.to_thread(program.workers[0].end, signal.SIGTERM)
            accepted = {
                "accept": Variant(accept),
                "publish beside": Variant(publishes["bare publish"].call),
            }
            for _ in range(ROUNDS):
                for variant in accepted.values():
                    await variant.in_flight(ACCEPTED)
    return variants | accepted, spent


def processes(program: DistributedProgram, broker: RabbitMq) -> dict[str, list[int]]:
    """All that take part in a whole call, by name."""
    parts = {
        "gateway": program.process,
        "worker": program.workers[0].process,
        "documents": program.documents.process,
        "broker": broker.process,
    }
    groups = {name: tree(process.pid) for name, process in parts.items() if process is not None}
    worker, *sandboxes = groups["worker"]
    return {"client": [os.getpid()]} | groups | {"worker": [worker], "sandbox": sandboxes}


def figures(variants: dict[str, Variant], spent: ProcessorTime) -> dict[str, float]:
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
    steps = [variants[name] for name in ("port", "http", "socket")]
    enqueue, accept = variants["enqueue"], variants["accept"]
    return numbers | {
        "rabbitmq_http_us": variants["http"].median_us,
        "rabbitmq_socket_us": variants["socket"].median_us,
        "rabbitmq_least_ratio": sum(step.median_us for step in steps) / bare.median_us,
        "rabbitmq_least_rate_ratio": 1 / sum(bare.rate / step.rate for step in steps),
        "rabbitmq_publish_rate": publish.rate,
        "rabbitmq_enqueue_rate": enqueue.rate,
        "rabbitmq_enqueue_ratio": enqueue.rate / publish.rate,
        "rabbitmq_accept_rate": accept.rate,
        "rabbitmq_accept_ratio": accept.rate / variants["publish beside"].rate,
        **{f"rabbitmq_whole_{name}_cpu_us": used for name, used in spent.per_call_us().items()},
    }


def report(f: dict[str, float]) -> str:
    def timed(name: str) -> str:
        return f"{f[f'rabbitmq_{name}_us']:.0f} us, {f[f'rabbitmq_{name}_rate']:.0f}/s"

    def ratio(name: str) -> str:
        times, rates = f[f"rabbitmq_{name}_ratio"], f[f"rabbitmq_{name}_rate_ratio"]
        return f"{times:.2f}x the time, {rates:.2f}x the rate"

    rows = [
        ("aio-pika echo RPC", timed("bare"), ""),
        ("the Queue port alone", timed("port"), ratio("port")),
        ("whole call over HTTP", timed("whole"), ratio("whole")),
        ("aiohttp that does nothing", f"{f['rabbitmq_http_us']:.0f} us", ""),
        ("unix socket to Node.js", f"{f['rabbitmq_socket_us']:.0f} us", ""),
        ("these two and the port, one after another", "", ratio("least")),
        ("aio-pika confirmed publishes, quorum", f"{f['rabbitmq_publish_rate']:.0f}/s", ""),
        (
            "Queue.enqueue",
            f"{f['rabbitmq_enqueue_rate']:.0f}/s",
            f"{f['rabbitmq_enqueue_ratio']:.2f}x the rate",
        ),
        (
            "jobs accepted over HTTP, ledger included",
            f"{f['rabbitmq_accept_rate']:.0f}/s",
            f"{f['rabbitmq_accept_ratio']:.2f}x the rate",
        ),
    ]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    lines = [
        f"RabbitMQ, {ROUNDS} rounds in turns, median of single calls and rate with {IN_FLIGHT} in flight;"
        f" load {load}"
    ]
    lines += [f"  {name:<44}{value:<30}{ratio}" for name, value, ratio in rows]
    parts = {
        name.removeprefix("rabbitmq_whole_").removesuffix("_cpu_us"): used
        for name, used in f.items()
        if name.endswith("_cpu_us")
    }
    shares = ", ".join(f"{name} {used:.0f}" for name, used in parts.items())
    lines.append(
        f"  processor time of a whole call with {IN_FLIGHT} in flight: {sum(parts.values()):.0f} us"
        f" ({shares})"
    )
    return "\n".join(lines)


def run() -> dict[str, float]:
    """With a broker of its own. Raises AssertionError where there is none."""
    assert not missing_reason(), missing_reason()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with tempfile.TemporaryDirectory(prefix="yunhan-bench-") as folder:
        broker = RabbitMq(Path(folder) / "broker").start()
        try:
            return figures(*uvloop.run(measure(broker, Path(folder))))
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
