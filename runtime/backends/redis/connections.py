"""A bounded number of connections to one Redis, and what its answers and its silence mean."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from runtime.backends.redis.bounded import AnswerTooLargeError, bounded_parser
from runtime.backends.redis.options import RedisOptions
from runtime.errors import UnavailableError
from runtime.ports.redis import RedisValue

_OURS = frozenset(
    {
        "ASK",
        "BUSY",
        "CLUSTERDOWN",
        "LOADING",
        "MASTERDOWN",
        "MISCONF",
        "MOVED",
        "NOAUTH",
        "NOREPLICAS",
        "READONLY",
        "TRYAGAIN",
        "WRONGPASS",
    }
)
"""Errors of Redis that say that it cannot be used now, or as it is set; the others are about the command."""


class RedisRefusedError(Exception):
    """Redis answered with an error; the text is its own."""


class RedisAnswerError(Exception):
    """The answer is beyond the bounds; the text says which."""


class RedisConnections:
    """See the module. Connections are made when they are needed and kept. Nothing is sent twice."""

    def __init__(self, options: RedisOptions) -> None:
        self._options = options
        self._idle: list[Connection] = []
        self._free = asyncio.Semaphore(options.connections_max)
        self._open = True

    @classmethod
    @asynccontextmanager
    async def opened(cls, options: RedisOptions) -> AsyncIterator[RedisConnections]:
        """Closed at the end. Redis need not be there yet."""
        connections = cls(options)
        try:
            yield connections
        finally:
            await connections.close()

    async def call(self, command: Sequence[bytes], *, timeout_s: float | None = None) -> RedisValue:
        """The answer to one command, texts as bytes. Raises RedisRefusedError, RedisAnswerError, and
        UnavailableError when there is none in time, the wait for a connection included: then the command may
        have been carried out."""
        where = self._options.where
        try:
            async with asyncio.timeout(self._options.timeout_s if timeout_s is None else timeout_s):
                async with self._free:
                    return await self._exchange(command)
        except AnswerTooLargeError as error:
            raise RedisAnswerError(str(error)) from None
        except ResponseError as error:
            text = str(error)
            if text.partition(" ")[0] in _OURS:
                raise UnavailableError(f"Redis at {where} refuses: {text[:300]}") from None
            raise RedisRefusedError(text) from None
        except TimeoutError:
            raise UnavailableError(f"Redis at {where} does not answer in time") from None
        except (RedisError, OSError, ValueError, EOFError) as error:
            raise UnavailableError(
                f"Redis at {where} cannot be reached: {type(error).__name__}: {str(error)[:300]}"
            ) from None

    async def close(self) -> None:
        """Idempotent. A command that is under way closes its own."""
        self._open = False
        while self._idle:
            await self._idle.pop().disconnect(nowait=True)

    async def _exchange(self, command: Sequence[bytes]) -> RedisValue:
        """A connection whose exchange did not end with an answer is not used again: what comes later on it
        would be taken for the answer to another command."""
        connection = self._idle.pop() if self._idle else self._make()
        usable = False
        try:
            if connection.is_connected and await connection.can_read():
                await connection.disconnect(nowait=True)  # Redis ended it meanwhile
            if not connection.is_connected:
                await self._connect(connection)
            await connection.send_command(*command, check_health=False)
            try:
                answer: RedisValue = await connection.read_response(disable_decoding=True)
            except ResponseError as error:
                usable = str(error).partition(" ")[0] not in _OURS
                raise
            usable = True
            return answer
        finally:
            if usable and self._open:
                self._idle.append(connection)
            else:
                await connection.disconnect(nowait=True)

    async def _connect(self, connection: Connection) -> None:
        """With user, password and database, about which no caller can do anything."""
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except ResponseError as error:
            raise UnavailableError(
                f"Redis at {self._options.where} takes no connection: {str(error)[:300]}; look at"
                " YUNHAN_REDIS_URL and YUNHAN_REDIS_PASSWORD_FILE"
            ) from None

    def _make(self) -> Connection:
        options = self._options
        told: dict[str, Any] = {
            "host": options.host,
            "port": options.port,
            "username": options.user,
            "password": options.password,
            "db": options.database,
            "protocol": 2,
            "parser_class": bounded_parser(options.answer_max_bytes, options.answer_items_max),
            "socket_connect_timeout": options.connect_timeout_s,
            "socket_timeout": None,
            "retry": Retry(NoBackoff(), 0),
            "driver_info": None,
        }
        if not options.tls:
            return Connection(**told)
        return SSLConnection(
            **told,
            ssl_cert_reqs="required",
            ssl_check_hostname=True,
            ssl_ca_certs=options.ca_file or None,
        )
