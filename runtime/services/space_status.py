"""Whether a space serves calls (spec: functions (g))."""

from __future__ import annotations

from typing import Protocol

from runtime.errors import NotFoundError
from runtime.messages import SpaceStatus


class HasStatus(Protocol):
    """Whatever is known of a space."""

    @property
    def space_id(self) -> str:
        """Its id."""

    @property
    def status(self) -> SpaceStatus:
        """Whether it serves."""


def require_running(space: HasStatus) -> None:
    """Raises NotFoundError when the space was paused."""
    if space.status is not SpaceStatus.RUNNING:
        raise NotFoundError(
            "InvalidSpace.NotInService",
            f"space {space.space_id} is paused; its owner can resume it (yunhan space resume)",
        )
