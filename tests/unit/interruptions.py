"""Races and crashes, made certain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any


def once_before(target: object, method: str, action: Callable[[], Awaitable[object]]) -> None:
    """Run `action` once, right before the next call of a coroutine method: a race, made certain."""
    original = getattr(target, method)

    async def hooked(*args: object, **options: object) -> object:
        setattr(target, method, original)
        await action()
        return await original(*args, **options)

    setattr(target, method, hooked)


class StoppedError(Exception):
    """The program was killed, as far as a test is concerned."""


class Killer:
    """Kills the program before its n-th step on any of the watched stores."""

    def __init__(self, at_step: int) -> None:
        self._at_step = at_step
        self._steps = 0
        self._undo: list[Callable[[], None]] = []

    def watch(self, target: object, *methods: str) -> None:
        for method in methods:
            original = getattr(target, method)
            setattr(target, method, self._counted(original))
            self._undo.append(partial(setattr, target, method, original))

    def _counted(self, original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def counted(*args: object, **options: object) -> Any:
            self._steps += 1
            if self._steps >= self._at_step:
                raise StoppedError
            return await original(*args, **options)

        return counted

    def restart(self) -> None:
        """The next start of the program: everything works."""
        for undo in self._undo:
            undo()


WRITES = ("replace_space", "delete_space", "delete_deployments", "replace_deployment")
"""Steps of the control store that change something."""
