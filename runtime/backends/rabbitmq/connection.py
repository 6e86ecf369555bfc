"""One connection to the broker that is made again when it is lost, and what its state means."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

import structlog

from runtime.backends.amqp.channel import Channel
from runtime.backends.amqp.connection import Connection, connect
from runtime.backends.amqp.errors import NOT_FOUND, AmqpError, ChannelClosedError, fresh
from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.errors import OursError

_log = structlog.get_logger(__name__)

_FIRST_PAUSE_S = 0.1

OnUp = Callable[[Connection], Awaitable[Sequence[Channel]]]
"""Opens channels on a new connection. The connection is given up when one of them closes."""


class Link:
    """See the module. `on_down` is called once for every `on_up` that succeeded."""

    def __init__(
        self,
        name: str,
        options: RabbitMqOptions,
        *,
        on_up: OnUp,
        on_down: Callable[[], None],
        on_blocked: Callable[[], None] = lambda: None,
        repair: Callable[[], Awaitable[None]],
    ) -> None:
        self.name = name
        self.blocked = False
        """The broker is out of memory or disk and reads nothing that is published."""
        self.lost = 0
        """Connections that ended without our doing."""
        self._options = options
        self._on_up = on_up
        self._on_down = on_down
        self._on_blocked = on_blocked
        self._repair = repair
        self._up = asyncio.Event()
        self._up_since: float | None = None
        """Of the last connection; loop time."""
        self._shaky = False
        """The last connection that is over was up, and not for long."""
        self._why = "not connected yet"

    @property
    def up(self) -> bool:
        return self._up.is_set()

    @property
    def problem(self) -> str | None:
        """Why it is of no use now. A connection that the broker ends again and again, because it refuses
        what we do there, is of none either while it is up."""
        if not self.up:
            return self._why
        return f"lost again and again: {self._why}" if self._shaky and not self._steady() else None

    def _steady(self) -> bool:
        """The last connection was up for long enough to believe that it works."""
        if self._up_since is None:
            return False
        up_s = asyncio.get_running_loop().time() - self._up_since
        return up_s >= self._options.reconnect_steady_s

    async def wait_up(self) -> None:
        await self._up.wait()

    async def run(self) -> None:
        """Keep the connection until cancelled; then close it in order."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                await self._connection_life()
            except (AmqpError, OursError, OSError, TimeoutError) as error:
                self._why = f"{type(error).__name__}: {error}"
            if self._up_since is not None and not self._shaky:
                pause_s = _FIRST_PAUSE_S
            self.lost += 1
            wait_s = pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
            _log.warning(
                "broker_lost", link=self.name, reason=self._why, again_in_s=round(wait_s, 2)
            )
            await asyncio.sleep(wait_s)
            pause_s = min(pause_s * 2, self._options.reconnect_longest_s)

    async def _connection_life(self) -> NoReturn:
        """Ends with the reason of its end."""
        self._up_since = None
        connection = await connect(self._options.endpoint(self.name), on_blocked=self._tell_blocked)
        try:
            channels = await self._prepare(connection)
            self._up_since = asyncio.get_running_loop().time()
            self._up.set()
            _log.info("broker_connected", link=self.name)
            closings = [connection.closed, *(channel.closed for channel in channels)]
            await asyncio.wait(closings, return_when=asyncio.FIRST_COMPLETED)
            raise fresh(next(closing.result() for closing in closings if closing.done()))
        finally:
            self._up.clear()
            self.blocked = False
            if self._up_since is not None:
                self._shaky = not self._steady()
                self._on_down()
            await connection.close()

    async def _prepare(self, connection: Connection) -> Sequence[Channel]:
        """With a second try after a repair: somebody may have deleted a queue meanwhile."""
        try:
            return await self._on_up(connection)
        except ChannelClosedError as error:
            if error.code != NOT_FOUND:
                raise
            _log.warning("broker_queue_missing", link=self.name)
        await self._repair()
        return await self._on_up(connection)

    def _tell_blocked(self, blocked: bool) -> None:  # noqa: FBT001 - the only thing it tells
        self.blocked = blocked
        _log.warning("broker_alarm" if blocked else "broker_alarm_over", link=self.name)
        if blocked:
            self._on_blocked()
