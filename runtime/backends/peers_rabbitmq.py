"""Peers over RabbitMQ: each process has an exclusive queue `{prefix}.peer.{process id}`.

A question is a mandatory message to that queue, so a process that is gone is known at once; the answer comes
by direct reply-to. The queue goes with the connection of its process: what nobody read is lost, and whoever
asked is told after its time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from pamqp.commands import Basic

from runtime.backends.amqp.channel import Channel, Message
from runtime.backends.amqp.connection import Connection
from runtime.backends.amqp.errors import AmqpError
from runtime.backends.rabbitmq.connection import Link
from runtime.backends.rabbitmq.messages import REPLY_TO
from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.backends.rabbitmq.publisher import NoQueueError, Publisher
from runtime.errors import OverloadedError, UnavailableError
from runtime.ports import NobodyThereError, PeerHandler, Peers
from runtime.tasks import end_tasks

_log = structlog.get_logger(__name__)

_QUESTION_TTL_MS = 10_000


class RabbitMqPeers(Peers):
    """See `Peers`."""

    def __init__(self, options: RabbitMqOptions, *, questions_max: int) -> None:
        """`questions_max`: that are answered at the same time; the broker keeps the others for a moment.
        Whose they are is the handler's business."""
        self._options = options
        self._questions_max = questions_max
        self._publisher = Publisher(options, blocked=lambda: self._link.blocked, missing=None)
        self._link = Link(
            "peers",
            options,
            on_up=self._on_up,
            on_down=self._on_down,
            on_blocked=self._publisher.refuse_waiting,
            repair=_no_repair,
        )
        self._process_id = ""
        self._handler: PeerHandler | None = None
        self._asked: dict[str, asyncio.Future[bytes]] = {}
        self._next_id = 0
        self._answering: set[asyncio.Task[None]] = set()
        self._running: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def open(self, process_id: str, handler: PeerHandler) -> AsyncIterator[None]:
        self._process_id, self._handler = process_id, handler
        self._running = asyncio.create_task(self._link.run(), name="rabbitmq peers")
        try:
            await self._wait_up()
            yield
        finally:
            await end_tasks([self._running, *self._answering])

    async def ask(self, process_id: str, question: bytes, *, timeout_s: float) -> bytes:
        if len(self._asked) >= self._options.in_flight_max:
            raise OverloadedError(f"{len(self._asked)} questions to other processes are open")
        self._next_id += 1
        question_id = str(self._next_id)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[question_id] = answer
        try:
            async with asyncio.timeout(timeout_s):
                await self._publisher.publish(
                    question,
                    exchange="",
                    routing_key=self._queue(process_id),
                    properties=Basic.Properties(
                        delivery_mode=1,
                        correlation_id=question_id,
                        message_id=question_id,
                        reply_to=REPLY_TO,
                        expiration=str(_QUESTION_TTL_MS),
                    ),
                )
                return await answer
        except NoQueueError:
            raise NobodyThereError(process_id) from None
        except TimeoutError:
            raise UnavailableError(
                f"process {process_id} did not answer in {timeout_s:g} s; whether it did what it was asked"
                " is not known"
            ) from None
        finally:
            del self._asked[question_id]

    @property
    def problem(self) -> str | None:
        where = self._options.where
        if self._link.problem is not None:
            return f"other processes are not reached over RabbitMQ at {where}: {self._link.problem}"
        return f"RabbitMQ at {where} takes nothing" if self._link.blocked else None

    async def wait_failed(self) -> None:
        if self._running is not None:
            await asyncio.wait({self._running})
            self._running.result()

    async def _wait_up(self) -> None:
        """Who serves before others reach it would begin transactions that are over for everybody else. When
        they never do it serves all the same: `problem` says so."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.connect_timeout_s):
                await self._link.wait_up()

    def _queue(self, process_id: str) -> str:
        return f"{self._options.prefix}.peer.{process_id}"

    async def _on_up(self, connection: Connection) -> Sequence[Channel]:
        asking = await self._publisher.open(connection)
        await asking.consume(REPLY_TO, self._on_answer, tag="answers", no_ack=True)
        answering = await connection.channel(confirms=False)
        queue = self._queue(self._process_id)
        await answering.declare(queue, durable=False, exclusive=True, arguments={})
        await answering.prefetch(self._questions_max)
        await answering.consume(
            queue,
            self._on_question,
            tag="questions",
            on_cancelled=lambda _: answering.abandon("the queue of questions was deleted"),
        )
        return [asking, answering]

    def _on_down(self) -> None:
        self._publisher.close()
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(UnavailableError("the connection to RabbitMQ was lost"))

    def _on_answer(self, message: Message) -> None:
        answer = self._asked.get(message.properties.correlation_id or "")
        if answer is not None and not answer.done():
            answer.set_result(message.body or b"")

    def _on_question(self, message: Message) -> None:
        """Bounded by the prefetch."""
        task = asyncio.create_task(self._answer(message), name="answer another process")
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, message: Message) -> None:
        assert self._handler is not None
        properties = message.properties
        try:
            answer = await self._handler(message.body or b"")
            if properties.reply_to and properties.correlation_id:
                await message.channel.send(
                    answer,
                    routing_key=properties.reply_to,
                    properties=Basic.Properties(
                        delivery_mode=1, correlation_id=properties.correlation_id
                    ),
                )
            message.channel.ack(message)
        except AmqpError as error:
            _log.warning("peer_not_answered", reason=str(error))


def _no_repair() -> Coroutine[Any, Any, None]:
    return asyncio.sleep(0)
