"""Stores of files whose n-th step goes wrong, and stores whose steps wait for a scheduler."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from enum import Enum
from typing import Any

from runtime.errors import UnavailableError


class KilledError(BaseException):
    """kill -9, as far as a test is concerned: nothing that comes after it has an effect."""


class Fault(Enum):
    """What happens at the chosen step."""

    KILLED_BEFORE = "killed before"
    KILLED_AFTER = "killed after"
    REFUSED = "refused"
    ANSWER_LOST = "answer lost"
    CANCELLED_BEFORE = "cancelled before"
    CANCELLED_AFTER = "cancelled after"


class Steps:
    """Counts the steps of both stores, and spoils one of them."""

    def __init__(self, fault: Fault | None = None, at: int = 0) -> None:
        self.taken = 0
        self.active = False
        self._fault = fault
        self._at = at
        self._dead = False

    def wrap(self, store: Any) -> Any:
        return _Wrapped(store, self._step)

    def revive(self) -> None:
        """The program is started again."""
        self._dead = False
        self.active = False

    async def _step(self, act: Callable[[], Any]) -> Any:
        if not self.active:
            return await act()
        if self._dead:
            raise KilledError
        self.taken += 1
        if self.taken != self._at or self._fault is None:
            return await act()
        result = None
        if self._fault in _AFTER:
            result = await act()
        if self._fault in {Fault.KILLED_BEFORE, Fault.KILLED_AFTER}:
            self._dead = True
            raise KilledError
        if self._fault in {Fault.REFUSED, Fault.ANSWER_LOST}:
            raise UnavailableError("the store does not answer")
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        return result


_AFTER = {Fault.KILLED_AFTER, Fault.ANSWER_LOST, Fault.CANCELLED_AFTER}


class Scheduler:
    """Lets one waiting step at a time go on, chosen by chance: every interleaving is possible."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._waiting: list[asyncio.Future[None]] = []
        self.free = True
        """Nobody waits: before and after the race."""
        self._dead = False

    def wrap(self, store: Any) -> Any:
        return _Wrapped(store, self._step)

    async def _step(self, act: Callable[[], Any]) -> Any:
        if not self.free:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
            if self._dead:
                raise KilledError
        return await act()

    async def kill(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Every program with all its tasks, in the middle of everything. New ones may begin afterwards."""
        self._dead = True
        while not all(task.done() for task in tasks):
            for turn in self._waiting:
                if not turn.done():
                    turn.set_result(None)
            await asyncio.sleep(0)
        self._dead = False
        self._waiting.clear()
        self.free = True

    async def run(
        self, tasks: list[asyncio.Task[Any]], check: Callable[[], None], *, steps: int = 10_000
    ) -> bool:
        """Until all tasks have ended or so many steps were taken. Whether all have ended."""
        self.free = False
        for _ in range(steps):
            for _ in range(20):  # everybody comes to the next step
                await asyncio.sleep(0)
            self._waiting = [turn for turn in self._waiting if not turn.done()]
            if not self._waiting:
                return all(task.done() for task in tasks)
            self._rng.choice(self._waiting).set_result(None)
            for _ in range(5):
                await asyncio.sleep(0)
            check()
        return False


class _Wrapped:
    """A store, each of whose coroutine methods is one step."""

    def __init__(self, store: Any, step: Callable[[Callable[[], Any]], Any]) -> None:
        self._store = store
        self._step = step

    def __getattr__(self, name: str) -> Any:
        original = getattr(self._store, name)
        if name == "stream":
            return original

        async def stepped(*args: Any, **options: Any) -> Any:
            return await self._step(lambda: original(*args, **options))

        return stepped
