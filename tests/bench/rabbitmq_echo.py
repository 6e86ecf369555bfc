"""The yardsticks of the RabbitMQ form: a bare aio-pika echo RPC over a durable classic queue with direct
reply-to, and bare confirmed publishes to a quorum queue.

As a program it is the echo's server: `python -m tests.bench.rabbitmq_echo URL QUEUE`.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aio_pika
import structlog
import uvloop
from aio_pika.abc import AbstractIncomingMessage

from tests.harness.rabbitmq_worker import line_of

REPLY_TO = "amq.rabbitmq.reply-to"
PREFETCH = 16

Call = Callable[[], Awaitable[object]]


async def serve(url: str, queue_name: str) -> None:
    """Answers every message with its own body. Never ends."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=PREFETCH)
        queue = await channel.get_queue(queue_name, ensure=False)

        async def answer(message: AbstractIncomingMessage) -> None:
            assert message.reply_to is not None
            await channel.default_exchange.publish(
                aio_pika.Message(message.body, correlation_id=message.correlation_id),
                routing_key=message.reply_to,
                mandatory=False,
            )
            await message.ack()

        await queue.consume(answer)
        print("ready", flush=True)
        await asyncio.Future()


def start_server(url: str, queue_name: str) -> subprocess.Popen[str]:
    """The caller ends it."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.bench.rabbitmq_echo", url, queue_name],
        stdout=subprocess.PIPE,
        text=True,
    )


async def until_ready(server: subprocess.Popen[str]) -> None:
    assert await line_of(server) == "ready"


@asynccontextmanager
async def bare_echo(url: str) -> AsyncIterator[Call]:
    """aio-pika on both sides, in two processes, without confirmations."""
    name = f"bench-{uuid.uuid4().hex[:12]}"
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel(publisher_confirms=False)
        await channel.declare_queue(name, durable=True)
        server = start_server(url, name)
        try:
            await until_ready(server)
            waiting: dict[str, asyncio.Future[bytes]] = {}
            loop = asyncio.get_running_loop()

            async def on_reply(message: AbstractIncomingMessage) -> None:
                waiting.pop(str(message.correlation_id)).set_result(message.body)

            replies = await channel.get_queue(REPLY_TO, ensure=False)
            await replies.consume(on_reply, no_ack=True)

            async def call() -> bytes:
                key = uuid.uuid4().hex
                answer: asyncio.Future[bytes] = loop.create_future()
                waiting[key] = answer
                await channel.default_exchange.publish(
                    aio_pika.Message(b"{}", correlation_id=key, reply_to=REPLY_TO),
                    routing_key=name,
                    mandatory=False,
                )
                return await answer

            yield call
        finally:
            server.kill()
            server.wait()
            if server.stdout is not None:
                server.stdout.close()
            await channel.queue_delete(name)


@asynccontextmanager
async def bare_publishes(url: str) -> AsyncIterator[Call]:
    """One confirmed publish of a persistent message to a quorum queue, which nobody reads."""
    name = f"bench-{uuid.uuid4().hex[:12]}"
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
        body = b"x" * 400

        async def publish() -> object:
            return await channel.default_exchange.publish(
                aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT),
                routing_key=name,
            )

        yield publish
        await channel.queue_delete(name)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    uvloop.run(serve(sys.argv[1], sys.argv[2]))
