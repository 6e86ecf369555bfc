"""The broker as a producer and an operator see it, for threads: one connection on a loop of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection

_T = TypeVar("_T")
PUBLISH_S = 5.0
_ASK_S = 15.0


class Amqp:
    """`close` it at the end. Each method raises what aio-pika raises, OSError or TimeoutError."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="amqp", daemon=True)
        self._thread.start()
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._connecting = asyncio.Lock()

    def close(self) -> None:
        self._run(self._drop(), _ASK_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def publish(self, message: aio_pika.Message, exchange: str, routing_key: str) -> None:
        """Returns when the broker has confirmed it."""
        self._run(self._publish(message, exchange, routing_key), 3 * PUBLISH_S)

    def depths(self, queues: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Messages that wait and consumers, by queue."""
        return self._run(self._depths(queues), _ASK_S)

    def delete(self, queue: str) -> None:
        self._run(self._delete(queue), _ASK_S)

    def _run(self, work: Coroutine[Any, Any, _T], seconds: float) -> _T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds)
        except concurrent.futures.CancelledError:  # aio-pika, of a connection that was lost
            raise ConnectionError("the connection to the broker was lost") from None
        except TimeoutError:
            future.cancel()
            asyncio.run_coroutine_threadsafe(self._drop(), self._loop)
            raise

    async def _publish(self, message: aio_pika.Message, exchange: str, routing_key: str) -> None:
        try:
            async with asyncio.timeout(PUBLISH_S):
                channel = await self._open()
                target = await channel.get_exchange(exchange, ensure=False)
                await target.publish(message, routing_key)
        except Exception:
            await self._drop()
            raise

    async def _open(self) -> AbstractChannel:
        async with self._connecting:
            if self._channel is None or self._channel.is_closed:
                await self._drop()
                self._connection = await aio_pika.connect(self._url, timeout=PUBLISH_S)
                self._channel = await self._connection.channel(on_return_raises=True)
            return self._channel

    async def _drop(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            try:
                async with asyncio.timeout(1):
                    await connection.close()
            except (Exception, asyncio.CancelledError):  # noqa: BLE001 - it is gone anyhow
                return

    async def _depths(self, queues: Sequence[str]) -> dict[str, tuple[int, int]]:
        found = {}
        async with await aio_pika.connect(self._url, timeout=PUBLISH_S) as connection:
            channel = await connection.channel()
            for name in queues:
                result = (await channel.declare_queue(name, passive=True)).declaration_result
                found[name] = (result.message_count or 0, result.consumer_count or 0)
        return found

    async def _delete(self, queue: str) -> None:
        async with await aio_pika.connect(self._url, timeout=PUBLISH_S) as connection:
            await (await connection.channel()).queue_delete(queue)
