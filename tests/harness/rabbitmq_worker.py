"""A worker as a process of its own, without sandboxes: `python -m ... URL PREFIX MODE`.

Modes: `hold` prints the id of each job that it takes and never finishes one; `silent` does the same and never
says that it took one, either; `echo` answers with the arguments, at most 16 jobs at a time.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace

import structlog
import uvloop

from runtime.ports import Delivery
from runtime.testing.queue import ok_outcome
from tests.harness.rabbitmq_queue import new_options, rabbitmq_queue

SLOTS = 16


def start_worker(url: str, prefix: str, mode: str) -> subprocess.Popen[str]:
    """The caller ends it."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.harness.rabbitmq_worker", url, prefix, mode],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


async def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that it prints."""
    assert process.stdout is not None
    return (await asyncio.to_thread(process.stdout.readline)).strip()


async def _run(url: str, prefix: str, mode: str) -> None:
    options = replace(new_options(url), prefix=prefix, call_prefetch=SLOTS)
    if mode == "silent":
        options = replace(options, taken_after_s=3600.0)
    queue = rabbitmq_queue(options)
    slots = asyncio.Semaphore(SLOTS)

    async def answer(delivery: Delivery) -> None:
        await delivery.finish(ok_outcome(delivery.job, delivery.job.args))
        slots.release()

    async with queue.open(), asyncio.TaskGroup() as tasks:
        print("ready", flush=True)
        while True:
            if mode == "echo":
                await slots.acquire()
            delivery = await queue.take()
            if mode == "echo":
                tasks.create_task(answer(delivery))
            else:
                # No sandbox starts sooner, and uvloop sends only after a turn of the loop.
                await asyncio.sleep(0.01)
                print(delivery.job.job_id, flush=True)


if __name__ == "__main__":
    # stdout is for the test
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    uvloop.run(_run(sys.argv[1], sys.argv[2], sys.argv[3]))
