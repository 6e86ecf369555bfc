"""A bounded number of connections to one Redis, and what its answers and its silence mean."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from runtime.backends.redis.bounded import AnswerTooLargeError, bounded_parser
from runtime.backends.redis.options import RedisOptions
from runtime.errors import UnavailableError
from runtime.ports.redis import RedisValue

_NOT_NOW = frozenset(
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
"""Errors of Redis that say that it cannot be used now: the next command goes over another connection."""
_AS_SET = frozenset({"NOPERM", "OOM"})
"""Those about how it is set: what its user may do, and its memory. All others are about the command."""


class RedisUnansweredError(UnavailableError):
    """The command was sent, in part at least, and no answer came: it may have been carried out."""


class RedisSetError(UnavailableError):
    """Redis does not do this as it is set: its operator has to change that. Nothing was carried out."""


class RedisRefusedError(Exception):
    """Redis answered with an error; the text is its own."""


class RedisAnswerError(Exception):
    """The answer is beyond the bounds; the text says which."""


@dataclass(slots=True)
class _Sending:
    """How far one command came."""

    begun: bool = False

    def failed(self, text: str) -> UnavailableError:
        """What to raise when there is no answer."""
        return RedisUnansweredError(text) if self.begun else UnavailableError(text)


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
        """The answer to one command, texts as bytes. Raises RedisRefusedError, RedisAnswerError,
        RedisUnansweredError, RedisSetError, and UnavailableError when it was not sent, the time that it
        waits for a connection included, or when Redis cannot carry it out now."""
        where = self._options.where
        sending = _Sending()
        try:
            async with asyncio.timeout(self._options.timeout_s if timeout_s is None else timeout_s):
                async with self._free:
                    return await self._exchange(command, sending)
        except AnswerTooLargeError as error:
            raise RedisAnswerError(str(error)) from None
        except ResponseError as error:
            text = str(error)
            code = text.partition(" ")[0]
            if code in _AS_SET:
                raise RedisSetError(
                    f"Redis at {where} refuses as it is set: {text[:300]}"
                ) from None
            if code in _NOT_NOW:
                raise UnavailableError(f"Redis at {where} refuses: {text[:300]}") from None
            raise RedisRefusedError(text) from None
        except TimeoutError:
            raise sending.failed(f"Redis at {where} does not answer in time") from None
        except (RedisError, OSError, ValueError, EOFError) as error:
            raise sending.failed(
                f"Redis at {where} cannot be reached: {type(error).__name__}: {str(error)[:300]}"
            ) from None

    async def close(self) -> None:
        """Idempotent. A command that is under way closes its own."""
        self._open = False
        while self._idle:
            await self._idle.pop().disconnect(nowait=True)

    async def _exchange(self, command: Sequence[bytes], sending: _Sending) -> RedisValue:
        """A connection whose exchange did not end with an answer is not used again: what comes later on it
        would be taken for the answer to another command."""
        connection = self._idle.pop() if self._idle else self._make()
        usable = False
        try:
            if connection.is_connected and await connection.can_read():
                await connection.disconnect(nowait=True)  # Redis ended it meanwhile
            if not connection.is_connected:
                await self._connect(connection)
            sending.begun = True
            await connection.send_command(*command, check_health=False)
            try:
                answer: RedisValue = await connection.read_response(disable_decoding=True)
            except ResponseError as error:
                usable = str(error).partition(" ")[0] not in _NOT_NOW
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
