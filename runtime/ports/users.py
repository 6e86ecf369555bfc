"""Where users whom a platform knows are kept."""

from __future__ import annotations

from abc import ABC, abstractmethod

from runtime.messages import Provider, UserRecord


class UserRecords(ABC):
    """One record for each (space, provider, app, open id)."""

    @abstractmethod
    async def seen(
        self, space_id: str, provider: Provider, app_id: str, open_id: str, *, now_ms: int
    ) -> UserRecord:
        """The record of this user, made when there is none, with `now_ms` as the time it was last seen unless
        it was seen later than that. Whoever asks first at the same time: all get the same `user_id`.
        Repeating it is harmless. Raises UnavailableError."""

    @abstractmethod
    async def read(self, space_id: str, user_id: str) -> UserRecord | None:
        """None: nobody of this space came through a platform with this id. Raises UnavailableError."""

    @abstractmethod
    async def delete_space(self, space_id: str) -> None:
        """Forget all users of a space. Idempotent. Raises UnavailableError."""
