"""How many invocations run at once on one worker, and how a waiting caller lends its slot.

A function that calls a function waits for it. If both needed a slot of their own, sixteen waiting
parents would hold all sixteen slots for ever. So a child takes a free slot if there is one, else it runs
in its parent's slot, one child at a time. A slot goes back when its invocation and every child in it ended:
a child that outlives its parent keeps the slot, and the number of running functions stays bounded.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Slots:
    """The slots of one worker. Waiters are served in order."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._free = total
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._asked = asyncio.Event()

    @property
    def free(self) -> int:
        return self._free

    async def take(self) -> Slot:
        """Wait for a free slot. Safe to cancel."""
        if self._free == 0:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            self._asked.set()
            try:
                await waiter  # whoever gives a slot back passes it on without counting it free
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._give_back()
                raise
        else:
            self._free -= 1
        return Slot(self, self._give_back)

    async def wait_wanted(self) -> None:
        """Until somebody waits for a slot."""
        while all(waiter.done() for waiter in self._waiters):
            self._asked.clear()
            await self._asked.wait()

    def try_take(self) -> Slot | None:
        """A slot if one is free now."""
        if self._free == 0:
            return None
        self._free -= 1
        return Slot(self, self._give_back)

    def _give_back(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1


class Slot:
    """The right to run one invocation. `release` it exactly once."""

    __slots__ = ("_give_back", "_lent", "_slots", "_users")

    def __init__(self, slots: Slots, give_back: Callable[[], None]) -> None:
        self._slots = slots
        self._give_back = give_back
        self._users = 1
        self._lent: asyncio.Lock | None = None

    def release(self) -> None:
        self._users -= 1
        if self._users == 0:
            self._give_back()

    async def for_child(self) -> Slot:
        """A slot for a call that this slot's invocation makes: a free one, else this one, in turn.

        The result is released like any other slot. Safe to cancel.
        """
        own = self._slots.try_take()
        if own is not None:
            return own
        if self._lent is None:
            self._lent = asyncio.Lock()
        lent = self._lent
        self._users += 1
        try:
            await lent.acquire()
        except asyncio.CancelledError:
            self.release()
            raise

        def child_ended() -> None:
            lent.release()
            self.release()

        return Slot(self._slots, child_ended)
