"""Users in memory: for tests, and as the model of what the port means."""

from __future__ import annotations

from dataclasses import replace

from runtime.ids import new_user_id
from runtime.messages import Provider, UserRecord
from runtime.ports import UserRecords


class UsersMemory(UserRecords):
    """See `UserRecords`. Nothing awaits, so every method is one step."""

    def __init__(self) -> None:
        self._users: dict[tuple[str, Provider, str, str], UserRecord] = {}

    async def seen(
        self, space_id: str, provider: Provider, app_id: str, open_id: str, *, now_ms: int
    ) -> UserRecord:
        identity = (space_id, provider, app_id, open_id)
        known = self._users.get(identity) or UserRecord(
            space_id=space_id,
            user_id=new_user_id(now_ms),
            provider=provider,
            app_id=app_id,
            open_id=open_id,
            created_ms=now_ms,
            last_seen_ms=now_ms,
        )
        self._users[identity] = replace(known, last_seen_ms=max(known.last_seen_ms, now_ms))
        return self._users[identity]

    async def read(self, space_id: str, user_id: str) -> UserRecord | None:
        return next(
            (
                user
                for user in self._users.values()
                if (user.space_id, user.user_id) == (space_id, user_id)
            ),
            None,
        )

    async def delete_space(self, space_id: str) -> None:
        self._users = {k: user for k, user in self._users.items() if k[0] != space_id}
