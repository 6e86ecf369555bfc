"""How long one space's asynchronous jobs wait beside another's thousands, over RabbitMQ with two workers.

    python -m tests.bench.fairness [--jobs 10000] [--quota N] [--seconds S]

Space A enqueues all its jobs at once. Space B enqueues one every quarter of a second, once without A, then
beside A, from a space in A's shard and from one in another. Printed are the waits of B's jobs (from
acceptance to start), how fast A gets on, what workers and broker used, and how often a message was moved.
With `--quota` A may run only so many jobs at once, so that the others are postponed again and again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.backends.rabbitmq.topology import Topology
from tests.harness.distributed import DistributedProgram
from tests.harness.management import Management
from tests.harness.rabbitmq import RabbitMq, missing_reason
from tests.harness.sdk_http import Connection, http_post

PROBES = 40
EVERY_S = 0.25
IN_FLIGHT = 64
SHARDS = 2
WORK = "module.exports = async () => new Promise((end) => setTimeout(end, 20, 1));\n"
END_S = 600.0


class Stage:
    """The programs, and spaces with a function `work` each."""

    def __init__(self, program: DistributedProgram, broker: RabbitMq) -> None:
        self.program = program
        self.broker = broker
        self.management = Management(program.endpoint, program.access_key())
        self._topology = Topology(RabbitMqOptions(url=broker.url, shards=SHARDS))

    def shard(self, space_id: str) -> str:
        return self._topology.shard(space_id)

    def space(self, shard: str | None = None) -> str:
        """A new one, in that shard."""
        while True:
            space_id, _ = self.management.space("fair")
            if shard is None or self.shard(space_id) == shard:
                break
            self.management.call("DeleteSpace", SpaceId=space_id)
        self.management.deploy(space_id, "work", {"index.js": WORK}, HttpTriggerPath="/http/work")
        self.management.call("UpdateHttpTriggerConfig", SpaceId=space_id, EnableService=True)
        done = self.program.cli("function", "set", "work", "--space", space_id, "--http-async")
        assert done.returncode == 0, done.stderr
        return space_id

    def request(self, space_id: str) -> bytes:
        return http_post(
            self.host,
            f"/trigger/{space_id}/http/work",
            b"{}",
            {"X-Yunhan-Invocation": "async"},
        )

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.program.port}"

    def wait_s(self, job_id: str) -> float:
        """From acceptance to start, once it has ended."""
        job = self.management.job_over(job_id, END_S)
        assert job["State"] == "succeeded", job
        return seconds(job["StartedAt"]) - seconds(job["AcceptedAt"])

    def begun(self) -> float:
        return self.program.metrics()["yunhan_async_claimed_total"]

    def moved(self) -> dict[str, float]:
        """How often messages were moved, and by what."""
        found = self.program.metrics()
        names = ("async_over_quota_total", "queue_set_aside_total")
        return {name: found.get(f"yunhan_{name}", 0.0) for name in names}

    def cpu(self) -> dict[str, float]:
        """Seconds of the workers themselves (not their sandboxes) and of the broker."""
        assert self.broker.process is not None
        workers = [worker.process.pid for worker in self.program.workers if worker.process]
        group = os.getpgid(self.broker.process.pid)
        brokers = [pid for pid in pids() if group_of(pid) == group]
        return {
            "workers": sum(cpu_of(pid) for pid in workers),
            "broker": sum(cpu_of(pid) for pid in brokers),
        }


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return -1


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def enqueue_all(stage: Stage, space_id: str, count: int) -> float:
    """Seconds that it took."""
    request, left, began = stage.request(space_id), iter(range(count)), time.perf_counter()

    async def some() -> None:
        connection = await Connection.open(stage.host)
        for _ in left:
            await connection.send(request, wanted="202")
        await connection.close()

    await asyncio.gather(*(some() for _ in range(IN_FLIGHT)))
    return time.perf_counter() - began


async def probe(stage: Stage, spaces: list[str]) -> list[list[float]]:
    """The waits of the jobs of each space, seconds."""
    connection = await Connection.open(stage.host)
    ids: list[list[str]] = [[] for _ in spaces]
    for _ in range(PROBES):
        for space_id, mine in zip(spaces, ids, strict=True):
            answer = json.loads(await connection.send(stage.request(space_id), wanted="202"))
            mine.append(answer["jobId"])
        await asyncio.sleep(EVERY_S)
    await connection.close()
    return [[await asyncio.to_thread(stage.wait_s, each) for each in mine] for mine in ids]


def told(title: str, waits: list[float]) -> str:
    ordered = sorted(waits)
    return (
        f"  {title:<34}median {statistics.median(ordered) * 1000:>8.0f} ms"
        f"   p90 {ordered[int(len(ordered) * 0.9)] * 1000:>8.0f} ms   most {ordered[-1] * 1000:>8.0f} ms"
    )


async def measure(stage: Stage, jobs: int, watch_s: float) -> dict[str, Any]:
    busy = stage.space()
    other = next(name for name in ("jobs.0", "jobs.1") if name != stage.shard(busy))
    near, far = stage.space(stage.shard(busy)), stage.space(other)
    await probe(stage, [near])  # warm
    [alone] = await probe(stage, [near])
    print(told("B alone", alone))
    cpu, moved, begun, began = stage.cpu(), stage.moved(), stage.begun(), time.perf_counter()
    accepted_s = await enqueue_all(stage, busy, jobs)
    print(f"  A: {jobs} jobs accepted in {accepted_s:.1f} s, {stage.begun() - begun:.0f} begun")
    same, different = await probe(stage, [near, far])
    left = jobs - (stage.begun() - begun - 2 * PROBES)
    print(told("B beside A, same shard", same))
    print(told("B beside A, other shard", different))
    print(f"  then {left:.0f} of A's jobs had not begun")
    while stage.begun() - begun < jobs + 2 * PROBES and time.perf_counter() - began < watch_s:
        await asyncio.sleep(0.2)
    took_s, count = time.perf_counter() - began, stage.begun() - begun
    used = {name: value - cpu[name] for name, value in stage.cpu().items()}
    moves = {name: value - moved[name] for name, value in stage.moved().items()}
    print(f"  {count:.0f} jobs begun in {took_s:.1f} s ({count / took_s:.0f}/s)")
    print("  CPU " + ", ".join(f"{name} {value:.1f} s" for name, value in used.items()))
    print("  " + ", ".join(f"{name} {value:.0f}" for name, value in moves.items()))
    return {"alone": alone, "same": same, "different": different, "cpu": used, "moved": moves}


def main() -> int:
    parser = argparse.ArgumentParser(prog="fairness")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--quota", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=END_S)
    options = parser.parse_args()
    if reason := missing_reason():
        print(reason, file=sys.stderr)
        return 2
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with tempfile.TemporaryDirectory(prefix="yunhan-fairness-") as folder:
        broker = RabbitMq(Path(folder) / "broker").start()
        program = DistributedProgram(
            Path(folder) / "data",
            YUNHAN_QUEUE_URL=broker.url,
            YUNHAN_QUEUE_SHARDS=str(SHARDS),
            YUNHAN_SANDBOX="process",
            YUNHAN_SLOTS="8",
            YUNHAN_ASYNC_RUNNING_PER_SPACE=str(options.quota),
        )
        try:
            program.add_worker()
            program.start()
            print(f"fairness: quota {options.quota}, load {os.getloadavg()[0]:.1f}")
            asyncio.run(measure(Stage(program, broker), options.jobs, options.seconds))
        finally:
            program.stop()
            broker.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
