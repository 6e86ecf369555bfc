"""Publishes with the broker's confirmation, and tells apart why there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from pamqp.commands import Basic

from runtime.backends.amqp.channel import Channel
from runtime.backends.amqp.connection import Connection
from runtime.backends.amqp.errors import AmqpError, RefusedError, ReturnedError, StalledError
from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.errors import LineFullError, OverloadedError, UnavailableError

_log = structlog.get_logger(__name__)


class QueueFullError(LineFullError):
    """The broker refused this message; it takes others."""


class NoQueueError(UnavailableError):
    """There is no queue for the message."""


class UnconfirmedError(UnavailableError):
    """The message may be in the queue or not. After every other error it surely is not."""


class Publisher:
    """One channel in confirm mode, again after every reconnection."""

    def __init__(
        self,
        options: RabbitMqOptions,
        *,
        blocked: Callable[[], bool],
        missing: Callable[[], None] | None,
    ) -> None:
        """`missing` is called when a message found no queue: somebody deleted it. None: these queues come and
        go, that is no news."""
        self._options = options
        self._blocked = blocked
        self._missing = missing
        self._channel: Channel | None = None
        self._timeouts: set[asyncio.Timeout] = set()

    async def open(self, connection: Connection) -> Channel:
        """Of a new connection."""
        self._channel = await connection.channel(confirms=True)
        return self._channel

    def close(self) -> None:
        """The connection is gone."""
        self._channel = None

    def refuse_waiting(self) -> None:
        """The broker takes nothing any more: whoever waits for a confirmation is told now."""
        now = asyncio.get_running_loop().time()
        for timeout in self._timeouts:
            timeout.reschedule(now)

    async def publish(
        self,
        body: bytes,
        *,
        exchange: str,
        routing_key: str,
        properties: Basic.Properties,
    ) -> None:
        """Returns when the message is in a queue.

        Raises QueueFullError, OverloadedError (alarm, too many at once, the connection takes nothing),
        UnconfirmedError, UnavailableError (no connection, no queue)."""
        channel = self._ready()
        timeout = asyncio.timeout(self._options.publish_timeout_s)
        try:
            async with timeout:
                self._timeouts.add(timeout)
                await channel.publish(
                    body, exchange=exchange, routing_key=routing_key, properties=properties
                )
        except ReturnedError:
            if self._missing is not None:
                _log.warning("broker_queue_missing", exchange=exchange, routing_key=routing_key)
                self._missing()
            raise NoQueueError(
                f"RabbitMQ has no queue for {routing_key}: it was deleted and is made again; try again"
            ) from None
        except RefusedError:
            raise QueueFullError(f"the queue {routing_key} is full; try again later") from None
        except StalledError as error:
            raise OverloadedError(
                f"RabbitMQ at {self._options.where} is too slow: {error}"
            ) from None
        except TimeoutError:
            why = "an alarm (memory or disk)" if self._blocked() else "no answer in time"
            raise self._unknown(why) from None
        except AmqpError as error:
            raise self._unknown(f"the connection was lost: {error}") from None
        finally:
            self._timeouts.discard(timeout)

    def _ready(self) -> Channel:
        if self._channel is None:
            raise UnavailableError(f"no connection to RabbitMQ at {self._options.where}; try again")
        if self._blocked():
            raise OverloadedError(
                f"RabbitMQ at {self._options.where} has an alarm (memory or disk) and takes nothing; "
                "try again later",
                retry_after_s=5,
            )
        if len(self._timeouts) >= self._options.in_flight_max:
            raise OverloadedError(
                f"{len(self._timeouts)} messages wait for their confirmation already"
                " (YUNHAN_QUEUE_IN_FLIGHT_MAX); try again later"
            )
        return self._channel

    def _unknown(self, why: str) -> UnconfirmedError:
        return UnconfirmedError(
            f"RabbitMQ at {self._options.where} did not confirm a message ({why}): it may be in the"
            " queue or not"
        )
