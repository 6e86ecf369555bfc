"""`make bench`: figures of one run as ratios to floors and peers of the same run. Never a test.

Everything is measured with logs and records on. Variants take turns, round by round, because machines
drift; medians and p99 are over all rounds. No thresholds: the numbers steer work on speed.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import database, queue
from tests.bench.echo import echo_in_flight, echo_one_by_one, start_echo, wait_for_echo
from tests.bench.floor import start_floor, until_answers
from tests.harness.management import Management
from tests.harness.program import Program, default_node, free_port
from tests.harness.rabbitmq import missing_reason
from tests.harness.sdk_http import Connection, authorize, http_post, invoke_request

ROOT = Path(__file__).resolve().parents[2]
SDK = ROOT / "tests" / "e2e" / "sdk"
HELLO = "module.exports = async (ctx) => ({ text: `hello ${ctx.args.name}` });\n"
HOOK = "module.exports = (ctx) => ({ text: `hello ${JSON.parse(ctx.args.body).name}` });\n"
PEER = "exports.hello = (req, res) => res.json({ text: `hello ${req.body.name}` });\n"
ARGS = {"name": "world"}
ROUNDS = 5
SEQUENTIAL = 400
IN_FLIGHT = 32
CONCURRENT = 2000
COLD = 20


class Series:
    """Samples of one variant, in seconds."""

    def __init__(self) -> None:
        self.samples: list[float] = []

    def ms(self, quantile: float) -> float:
        ordered = sorted(self.samples)
        return ordered[min(len(ordered) - 1, int(len(ordered) * quantile))] * 1000


async def one_by_one(host: str, request: bytes, count: int, series: Series) -> None:
    connection = await Connection.open(host)
    for _ in range(count):
        began = time.perf_counter()
        await connection.send(request)
        series.samples.append(time.perf_counter() - began)
    await connection.close()


async def in_flight(host: str, request: bytes, count: int) -> float:
    """Calls per second with IN_FLIGHT connections."""
    connections = [await Connection.open(host) for _ in range(IN_FLIGHT)]
    left = iter(range(count))

    async def loop(connection: Connection) -> None:
        for _ in left:
            await connection.send(request)

    began = time.perf_counter()
    await asyncio.gather(*(loop(connection) for connection in connections))
    rate = count / (time.perf_counter() - began)
    for connection in connections:
        await connection.close()
    return rate


def time_bare_node(node: Path) -> float:
    began = time.perf_counter()
    subprocess.run([node, "-e", "0"], check=True)
    return time.perf_counter() - began


def start_peer(node: Path, folder: Path, port: int) -> subprocess.Popen[bytes]:
    (folder / "index.js").write_text(PEER)
    script = SDK / "node_modules/@google-cloud/functions-framework/build/src/main.js"
    return subprocess.Popen(
        [node, script, f"--source={folder}", "--target=hello", f"--port={port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def measure(program: Program, node: Path, folder: Path) -> dict[str, float]:
    management = Management(program.endpoint, program.access_key())
    space_id, secret = management.space("bench")
    management.deploy(space_id, "hello", {"index.js": HELLO})
    management.deploy(space_id, "hook", {"index.js": HOOK})
    management.call("UpdateFunction", SpaceId=space_id, Name="hook", HttpTriggerPath="/http/hook")
    management.call("UpdateHttpTriggerConfig", SpaceId=space_id, EnableService=True)
    for number in range(COLD):
        management.deploy(space_id, f"cold{number}", {"index.js": f"// {number}\n{HELLO}"})
    ours = f"127.0.0.1:{program.port}"
    token = await authorize(ours, space_id, secret)

    floor_port, peer_port, echo = free_port(), free_port(), folder / "echo.sock"
    children = [
        start_floor(floor_port),
        start_peer(node, folder, peer_port),
        start_echo(node, echo),
    ]
    try:
        content = json.dumps(ARGS).encode()
        plain = http_post("localhost", "/", content)
        variants = {
            "floor": (f"127.0.0.1:{floor_port}", plain),
            "peer": (f"127.0.0.1:{peer_port}", plain),
            "ours": (ours, invoke_request(ours, space_id, secret, token, "hello", ARGS)),
            "trigger": (ours, http_post(ours, f"/trigger/{space_id}/http/hook", content)),
        }
        wait_for_echo(echo)
        for host, request in variants.values():
            await until_answers(host, request)
            await one_by_one(host, request, 200, Series())  # warm up all alike
        bare, cold, socket = Series(), Series(), Series()
        sequential = {name: Series() for name in variants}
        rates: dict[str, list[float]] = {name: [] for name in (*variants, "socket")}
        for number in range(COLD):
            bare.samples.append(time_bare_node(node))
            request = invoke_request(ours, space_id, secret, token, f"cold{number}", ARGS)
            await one_by_one(ours, request, 1, cold)
        for _ in range(ROUNDS):
            socket.samples += echo_one_by_one(echo, SEQUENTIAL)
            for name, (host, request) in variants.items():
                await one_by_one(host, request, SEQUENTIAL, sequential[name])
            rates["socket"].append(await echo_in_flight(echo, CONCURRENT, IN_FLIGHT))
            for name, (host, request) in variants.items():
                rates[name].append(await in_flight(host, request, CONCURRENT))
    finally:
        for child in children:
            child.terminate()
            child.wait(10)
    return {
        "bare_node_ms": bare.ms(0.5),
        "first_call_ms": cold.ms(0.5),
        "first_call_p90_ms": cold.ms(0.9),
        "warm_ms": sequential["ours"].ms(0.5),
        "warm_p99_ms": sequential["ours"].ms(0.99),
        "trigger_ms": sequential["trigger"].ms(0.5),
        "trigger_p99_ms": sequential["trigger"].ms(0.99),
        "peer_ms": sequential["peer"].ms(0.5),
        "peer_p99_ms": sequential["peer"].ms(0.99),
        "floor_ms": sequential["floor"].ms(0.5),
        "socket_ms": socket.ms(0.5),
        "warm_rate": statistics.median(rates["ours"]),
        "trigger_rate": statistics.median(rates["trigger"]),
        "floor_rate": statistics.median(rates["floor"]),
        "peer_rate": statistics.median(rates["peer"]),
        "socket_rate": statistics.median(rates["socket"]),
    }


def report(figures: dict[str, float], rung: str) -> str:
    f = figures
    least_ms = f["floor_ms"] + f["socket_ms"]
    least_rate = 1 / (1 / f["floor_rate"] + 1 / f["socket_rate"])
    rows = [
        ("bare `node -e 0`", f"{f['bare_node_ms']:.1f} ms", ""),
        (
            "first call, function never called before",
            f"{f['first_call_ms']:.1f} ms (p90 {f['first_call_p90_ms']:.1f})",
            f"{f['first_call_ms'] / f['bare_node_ms']:.2f}x bare node",
        ),
        ("aiohttp that does nothing, sequential", f"{f['floor_ms']:.3f} ms", ""),
        (
            "functions-framework, warm, sequential",
            f"{f['peer_ms']:.3f} ms (p99 {f['peer_p99_ms']:.3f})",
            "",
        ),
        (
            "/client, warm, sequential",
            f"{f['warm_ms']:.3f} ms (p99 {f['warm_p99_ms']:.3f})",
            f"{f['warm_ms'] / f['peer_ms']:.2f}x functions-framework,"
            f" {f['warm_ms'] / f['floor_ms']:.2f}x aiohttp",
        ),
        ("unix socket to Node.js, sequential", f"{f['socket_ms']:.3f} ms", ""),
        (
            "HTTP trigger, warm, sequential",
            f"{f['trigger_ms']:.3f} ms (p99 {f['trigger_p99_ms']:.3f})",
            f"{f['trigger_ms'] / f['peer_ms']:.2f}x functions-framework,"
            f" {f['trigger_ms'] / least_ms:.2f}x aiohttp + socket",
        ),
        (f"aiohttp that does nothing, {IN_FLIGHT} in flight", f"{f['floor_rate']:.0f} calls/s", ""),
        (f"functions-framework, {IN_FLIGHT} in flight", f"{f['peer_rate']:.0f} calls/s", ""),
        (
            f"/client, {IN_FLIGHT} in flight",
            f"{f['warm_rate']:.0f} calls/s",
            f"{f['warm_rate'] / f['peer_rate']:.2f}x functions-framework,"
            f" {f['warm_rate'] / f['floor_rate']:.2f}x aiohttp",
        ),
        (
            f"unix socket to Node.js, {IN_FLIGHT} in flight",
            f"{f['socket_rate']:.0f} calls/s",
            "",
        ),
        (
            f"HTTP trigger, {IN_FLIGHT} in flight",
            f"{f['trigger_rate']:.0f} calls/s",
            f"{f['trigger_rate'] / f['peer_rate']:.2f}x functions-framework,"
            f" {f['trigger_rate'] / least_rate:.2f}x aiohttp + socket",
        ),
    ]
    lines = [f"rung {rung}, logs and records on, {ROUNDS} rounds in turns; medians"]
    lines += [f"  {name:<44}{value:<30}{ratio}" for name, value, ratio in rows]
    return "\n".join(lines)


def main() -> int:
    if not (SDK / "node_modules").exists():
        print("run `make bench`: it installs the peer first", file=sys.stderr)
        return 2
    node = default_node()
    with tempfile.TemporaryDirectory(prefix="yunhan-bench-") as folder:
        print("starting yunhan up ...", file=sys.stderr)
        program = Program(Path(folder) / "data", YUNHAN_SANDBOX="process").start()
        try:
            peer_folder = Path(folder) / "peer"
            peer_folder.mkdir()
            print("measuring, about a minute ...", file=sys.stderr)
            figures = asyncio.run(measure(program, node, peer_folder))
        finally:
            program.stop()
    print(report(figures, "process"))
    print("measuring the database, half a minute ...", file=sys.stderr)
    of_database = database.run()
    print(database.report(of_database))
    figures |= of_database
    if reason := missing_reason():
        print(f"RabbitMQ: left out, {reason}", file=sys.stderr)
    else:
        print("measuring over RabbitMQ, another minute ...", file=sys.stderr)
        over_rabbitmq = queue.run()
        print(queue.report(over_rabbitmq))
        figures |= over_rabbitmq
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
