"""Reading and changing one space: every change of a space or a function goes through here."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace

from runtime.errors import ConflictError, NotFoundError, OverloadedError
from runtime.messages import Space
from runtime.ports import ControlStore
from runtime.services.interfaces import SpaceCache

_ATTEMPTS = 10
_FIRST_PAUSE_S = 0.005
"""Doubles with every attempt, with jitter: at most 5 s in all."""


def unknown_space(space_id: str) -> NotFoundError:
    """The error for a space that does not exist (spec: functions (g))."""
    return NotFoundError(
        "InvalidSpaceId.NotFound", f"there is no space with the id {space_id[:64]}"
    )


class SpaceEditor:
    """Compare-and-set on the space document, with a bounded number of attempts."""

    def __init__(self, *, control: ControlStore, cache: SpaceCache) -> None:
        self._control = control
        self._cache = cache

    async def read(self, space_id: str) -> Space:
        """The stored space, not a cached one. Raises NotFoundError."""
        space = await self._control.read_space(space_id)
        if space is None:
            raise unknown_space(space_id)
        return space

    async def change(self, space_id: str, change: Callable[[Space], Space]) -> Space:
        """Store what `change` makes of the space; again from the start when somebody was faster.

        `change` must be pure: it may be called several times. When it returns an equal space nothing is
        written. Its errors pass through. Raises NotFoundError when the space is gone, so a concurrent
        deletion is never undone, and OverloadedError when too many others change the same space.
        When cancelled or unavailable the change may have been stored or not; it is never half stored.
        """
        for attempt in range(_ATTEMPTS):
            space = await self.read(space_id)
            changed = change(space)
            if changed == space:
                return space
            changed = replace(changed, revision=space.revision + 1)
            try:
                await self._control.replace_space(changed)
            except ConflictError:
                await asyncio.sleep(_FIRST_PAUSE_S * 2**attempt * random.random())  # noqa: S311
            except NotFoundError:
                raise unknown_space(space_id) from None
            else:
                return changed
            finally:
                self._cache.invalidate(space_id)
        raise OverloadedError(
            f"space {space_id} is being changed by too many others at the same time; try again"
        )

    def forget(self, space_id: str) -> None:
        """Tell caches that the space was deleted."""
        self._cache.invalidate(space_id)
