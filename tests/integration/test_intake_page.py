"""The code of docs/amqp.md, as it stands there, on a real broker."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime.jobs.submit import Accepted
from runtime.messages import Source
from runtime.testing.async_queue import async_job
from runtime.testing.queue import ok_outcome, sample_job
from tests.harness.intake_broker import SPACE, IntakeStage, broker_options, small_options
from tests.harness.program import default_node
from tests.harness.rabbitmq import RabbitMq
from tests.harness.rabbitmq_queue import rabbitmq_queue

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

PAGE = (Path(__file__).parents[2] / "docs" / "amqp.md").read_text()
CLIENTS = Path(__file__).parents[1] / "amqp_clients"
VHOST = "page"
PASSWORD = "p/w"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@dataclass
class Virtual:
    """A virtual host of the page's own: its names are those of a default installation."""

    producer_url: str
    own_url: str


@pytest.fixture
def virtual(rabbitmq: RabbitMq) -> Iterator[Virtual]:
    rabbitmq.control("add_vhost", VHOST)
    [lines] = blocks("sh")
    for line in lines.splitlines():
        command = line.replace("--vhost /", f"--vhost {VHOST}").replace("PASSWORD", PASSWORD)
        rabbitmq.control(*shlex.split(command)[1:])
    yield Virtual(
        producer_url=f"amqp://shop:p%2Fw@127.0.0.1:{rabbitmq.port}/{VHOST}",
        own_url=f"amqp://yunhan:p%2Fw@127.0.0.1:{rabbitmq.port}/{VHOST}",
    )
    for user in ("shop", "yunhan"):
        rabbitmq.control("delete_user", user)
    rabbitmq.control("delete_vhost", VHOST)


class Calls:
    def __init__(self) -> None:
        self.taken: asyncio.Queue[tuple[str, str, bytes, str | None]] = asyncio.Queue()

    async def submit(
        self,
        space_id: str,
        function: str,
        args: bytes,
        *,
        source: Source,
        request_id: str,
        idempotency_key: str | None = None,
    ) -> Accepted:
        self.taken.put_nowait((space_id, function, args, idempotency_key))
        return Accepted(job_id=request_id, first=True)


@pytest.fixture
async def calls(virtual: Virtual) -> AsyncIterator[Calls]:
    calls = Calls()
    broker = broker_options(virtual.own_url, prefix="yunhan")
    stage = IntakeStage(broker, calls, small_options())
    async with stage.intake.open():
        serving = asyncio.create_task(stage.service.run())
        yield calls
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def run(*command: str | Path, url: str, space: str = SPACE) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, "AMQP_URL": url, "SPACE": space},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_our_own_user_may_do_what_programs_do(virtual: Virtual) -> None:
    """A synchronous call, an asynchronous job, and one that comes back after a delay."""
    queue = rabbitmq_queue(broker_options(virtual.own_url, prefix="yunhan"))
    async with asyncio.timeout(60), queue.open():
        call = sample_job(SPACE)
        calling = asyncio.create_task(queue.call(call))
        delivery = await queue.take()
        await delivery.finish(ok_outcome(call))
        assert (await calling).ok
        job = async_job(SPACE)
        await queue.enqueue(job, delay_s=0.5)
        later = await queue.take_async()
        assert later.job.job_id == job.job_id
        await later.acknowledge()


@pytest.mark.parametrize("language", ["python", "js"])
def test_a_producer_has_about_ten_lines(language: str) -> None:
    lines = [line for line in blocks(language)[0].splitlines() if line.strip()]
    assert len(lines) <= 10


async def test_the_producer_in_python(virtual: Virtual, calls: Calls, tmp_path: Path) -> None:
    source = tmp_path / "producer.py"
    source.write_text(blocks("python")[0])
    await asyncio.to_thread(run, sys.executable, source, url=virtual.producer_url)
    space_id, function, args, key = await calls.taken.get()
    assert (space_id, function, args) == (SPACE, "hello", b'{"name":"Ada"}')
    assert key is not None
    assert key.startswith("amqp shop ")


async def test_the_producer_in_javascript(virtual: Virtual, calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(CLIENTS / "node_modules")
    source = tmp_path / "producer.mjs"
    source.write_text(blocks("js")[0])
    node = await asyncio.to_thread(default_node)
    await asyncio.to_thread(run, node, source, url=virtual.producer_url)
    space_id, function, args, key = await calls.taken.get()
    assert (space_id, function, args) == (SPACE, "hello", b'{"name":"Grace"}')
    assert key is not None
    assert key.startswith("amqp shop ")


async def test_dead_letters_are_read_as_the_page_says(
    virtual: Virtual, calls: Calls, tmp_path: Path
) -> None:
    """The producer may not send to that space."""
    source, reader = tmp_path / "producer.py", tmp_path / "reader.py"
    source.write_text(blocks("python")[0])
    reader.write_text(blocks("python")[1])
    await asyncio.to_thread(run, sys.executable, source, url=virtual.producer_url, space="mp-other")
    told = ""
    async with asyncio.timeout(30):
        while not told:
            told = await asyncio.to_thread(run, sys.executable, reader, url=virtual.own_url)
    assert told.startswith("forbidden the user shop may not send to space mp-other")
    again = await asyncio.to_thread(run, sys.executable, reader, url=virtual.own_url)
    assert again == told
    assert calls.taken.empty()
