"""The worker's half: takes deliveries off the broker and hands them to whoever has a free slot.

The broker pushes up to the prefetch ahead. What no taker wanted for a moment is given back and nothing more
is consumed until somebody asks again: a busy worker does not sit on jobs that an idle one could run.
"""

from __future__ import annotations

import asyncio
import random
from bisect import insort
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, Protocol, TypeVar

import structlog

from runtime.backends.amqp.channel import Channel, Message
from runtime.backends.amqp.errors import NOT_FOUND, AmqpError, ChannelClosedError
from runtime.errors import OursError, UnavailableError

_log = structlog.get_logger(__name__)

_HOLD_S = 1.0
"""What waits here for a slot is given back when nobody took anything for so long."""
RENEW_S = 15.0
"""Consumers that got nothing for so long are made anew: RabbitMQ does not always tell that a queue was
deleted when somebody made it again at once, and such a consumer would wait for ever."""


class Held(Protocol):
    """What the line and the consumer need of a delivery."""

    @property
    def space_id(self) -> str: ...

    @property
    def rank(self) -> int:
        """Those of a lower rank are before others of their space."""

    async def hand_back(self) -> None:
        """Nobody here started it: somebody else gets it. Never raises but for cancellation."""


D = TypeVar("D", bound=Held)
D_contra = TypeVar("D_contra", contravariant=True)


class SetAside(Protocol[D_contra]):
    """Asked about a delivery; `second`: one of its space waits here. True: it has dealt with it."""

    def __call__(self, delivery: D_contra, /, *, second: bool) -> bool: ...


def _keep(_delivery: object, *, second: bool) -> bool:  # noqa: ARG001 - of the signature
    """Sets nothing aside."""
    return False


def _rank(delivery: Held) -> int:
    return delivery.rank


class Line(Generic[D]):
    """What waits for a taker. Spaces take turns."""

    def __init__(self) -> None:
        self._spaces: OrderedDict[str, list[D]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._spaces)

    def add(self, delivery: D, *, first: bool = False) -> None:
        waiting = self._spaces.setdefault(delivery.space_id, [])
        if first:
            waiting.insert(0, delivery)
            self._spaces.move_to_end(delivery.space_id, last=False)
        else:
            insort(waiting, delivery, key=_rank)

    def pop(self) -> D | None:
        """The first one of the space whose turn it is; that space then goes to the end."""
        if not self._spaces:
            return None
        space_id, waiting = self._spaces.popitem(last=False)
        delivery = waiting.pop(0)  # a prefetch's worth, no more
        if waiting:
            self._spaces[space_id] = waiting
        return delivery

    def has(self, space_id: str) -> bool:
        """Whether one of that space waits here."""
        return space_id in self._spaces

    def clear(self) -> None:
        self._spaces.clear()


class Consumer(Generic[D]):
    """Consumers on some queues, one line, any number of takers."""

    def __init__(
        self,
        name: str,
        queues: Mapping[str, int],
        *,
        accept: Callable[[Message], D | None],
        repair: Callable[[], Awaitable[None]],
        set_aside: SetAside[D] = _keep,
    ) -> None:
        """`queues`: each with its prefetch. `accept` makes a delivery of a message; None = it has dealt with
        it. `repair` makes missing queues again. `set_aside` is asked about what nobody takes now."""
        self._name = name
        self._queues = queues
        self._accept = accept
        self._repair = repair
        self._set_aside = set_aside
        self._channel: Channel | None = None
        self._tags: dict[str, str] = {}
        """Queue by consumer tag."""
        self._consumed = 0
        """Consumers made so far."""
        self._line: Line[D] = Line()
        self._takers: deque[asyncio.Future[D]] = deque()
        self._ended = False
        self._change = asyncio.Event()
        """Consuming should start or stop, or a consumer is gone."""
        self._hold: asyncio.TimerHandle | None = None
        self._wanted = True
        self._received = False
        self._taken = False
        """Somebody took something that had waited here, since the hold began."""
        self._missing = False
        """A queue was deleted."""

    def open(self, channel: Channel) -> None:
        """Of a new connection. Nothing is consumed before somebody takes."""
        self._channel = channel
        self._change.set()

    def close(self) -> None:
        """The connection is gone: what waits here comes again from the broker."""
        self._channel = None
        self._tags.clear()
        self._line.clear()

    async def run(self) -> None:
        """Starts and stops consuming as takers come and go. Never ends by itself."""
        while True:
            try:
                async with asyncio.timeout(RENEW_S):
                    await self._change.wait()
            except TimeoutError:
                quiet = not self._received
            else:
                quiet = False
            self._change.clear()
            self._received = False
            try:
                if self._missing:
                    await self._repair()
                    self._missing = False
                if quiet:
                    await self._cancel_consumers()
                await self._adjust()
            except (AmqpError, OursError) as error:
                if isinstance(error, ChannelClosedError) and error.code == NOT_FOUND:
                    self._missing = True
                _log.warning(
                    "broker_consume_failed",
                    consumer=self._name,
                    reason=f"{type(error).__name__}: {error}",
                )
                await asyncio.sleep(_HOLD_S)
                self._change.set()

    async def take(self) -> D:
        """The next delivery. Safe to cancel. Raises UnavailableError when the queue is closed."""
        if self._ended:
            raise UnavailableError("the queue is closed; try again")
        delivery = self._line.pop()
        if delivery is not None:
            self._taken = True
            return delivery
        if not self._wanted or self._paused:
            self._wanted = True
            self._change.set()
        taker: asyncio.Future[D] = asyncio.get_running_loop().create_future()
        self._takers.append(taker)
        try:
            return await taker
        except asyncio.CancelledError:
            if taker.done() and not taker.cancelled() and taker.exception() is None:
                self.put_back(taker.result())
            raise

    def put_back(self, delivery: D) -> None:
        """A taker could not use it after all: it is the next one's."""
        self._hand_over(delivery, first=True)

    def fail_takers(self) -> None:
        """The queue is closed: those who wait and those who come get UnavailableError."""
        self._ended = True
        for taker in self._takers:
            if not taker.done():
                taker.set_exception(UnavailableError("the queue was closed"))
        self._takers.clear()

    async def end(self) -> None:
        """Stop consuming and give back what nobody took. Takers get UnavailableError."""
        self._wanted = False
        self.fail_takers()
        if self._hold is not None:
            self._hold.cancel()
        try:
            await self._stop()
            if self._channel is not None:  # an answer: everything before it has been sent
                await self._channel.prefetch(1)
        except AmqpError as error:
            _log.warning(
                "broker_stop_failed", consumer=self._name, reason=f"{type(error).__name__}: {error}"
            )

    @property
    def _paused(self) -> bool:
        return self._channel is not None and len(self._tags) < len(self._queues)

    async def _adjust(self) -> None:
        if not self._wanted:
            await self._stop()
        elif self._channel is not None:
            await self._start(self._channel)

    async def _start(self, channel: Channel) -> None:
        missing = [queue for queue in self._queues if queue not in self._tags.values()]
        # A worker whose jobs are long starts here for each of them, and takes what comes first: in a fixed
        # order, that would always be of the same queue.
        random.shuffle(missing)
        prefetch = 0
        for queue in missing:
            # Never the same tag twice: RabbitMQ before 3.11.1 ends the channel of a quorum queue's consumer
            # that comes again while messages of the one before are on their way (rabbitmq-server#5927).
            self._consumed += 1
            tag = f"{self._name}.{queue}.{self._consumed}"
            self._tags[tag] = queue
            try:
                if self._queues[queue] != prefetch:
                    prefetch = self._queues[queue]
                    await channel.prefetch(prefetch)  # of the consumers that are made next
                await channel.consume(
                    queue, self._on_message, tag=tag, on_cancelled=self._on_cancelled
                )
            except AmqpError:
                self._tags.pop(tag, None)
                raise

    async def _stop(self) -> None:
        await self._cancel_consumers()
        while (delivery := self._line.pop()) is not None:
            await delivery.hand_back()

    async def _cancel_consumers(self) -> None:
        channel = self._channel
        if channel is not None:
            for tag in list(self._tags):
                await channel.cancel(tag)
                self._tags.pop(tag, None)

    def _on_message(self, message: Message) -> None:
        self._received = True
        delivery = self._accept(message)
        if delivery is not None and message.channel is self._channel:
            self._hand_over(delivery)

    def _hand_over(self, delivery: D, *, first: bool = False) -> None:
        while self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(delivery)
                return
        if not first and self._set_aside(delivery, second=self._line.has(delivery.space_id)):
            return
        self._line.add(delivery, first=first)
        if not self._wanted:
            self._change.set()
        elif self._hold is None and not self._ended:
            self._begin_hold()

    def _begin_hold(self) -> None:
        self._taken = False
        self._hold = asyncio.get_running_loop().call_later(_HOLD_S, self._held_too_long)

    def _held_too_long(self) -> None:
        self._hold = None
        if self._line and self._taken:
            self._begin_hold()
        elif self._line and not self._takers:
            self._wanted = False
            self._change.set()

    def _on_cancelled(self, tag: str) -> None:
        """By the broker: the queue was deleted, or its node went away. What waits is done by `run`."""
        queue = self._tags.pop(tag, "")
        _log.warning("broker_consumer_cancelled", consumer=self._name, queue=queue)
        self._missing = True
        self._change.set()
