"""What `user.getInfo()` tells of a user (spec: client protocol §5, functions (a))."""

from __future__ import annotations

import re

from runtime.messages import Principal, UserRecord
from runtime.ports import UserRecords
from sandbox.json_text import dump_json

_OWN_ID = re.compile(r"([0-9a-f]{8})[0-9a-f]{16}", re.ASCII)


class Profiles:
    """The one answer for clients, backends and functions."""

    def __init__(self, records: UserRecords) -> None:
        self._records = records

    async def tell(self, space_id: str, principal: Principal) -> bytes:
        """What `getProfileInfo` answers, JSON text. Of another user than the one who called give only the
        `user_id`: who that is, is read. Raises UnavailableError."""
        if principal.user_id is None or _is_anonymous(principal):
            return profile_of(space_id, principal)
        record = await self._records.read(space_id, principal.user_id)
        return profile_of(space_id, principal, record)


def profile_of(space_id: str, principal: Principal, record: UserRecord | None = None) -> bytes:
    """The JSON text of `data`: the members in `user` and flat beside it, because apps read both. Nobody is an
    empty `user`, on which apps do not fall.

    Of anonymous users there is no record: their id says when they came, and as each authorization makes a
    new one, that is also when they were seen last."""
    if principal.user_id is None:
        return b'{"user":{}}'
    user: dict[str, object] = {"userId": principal.user_id, "spaceId": space_id}
    if record is not None:
        user |= {"createdAt": record.created_ms, "lastSeenAt": record.last_seen_ms}
    elif made := _OWN_ID.fullmatch(principal.user_id):
        made_ms = int(made[1], 16) * 1000
        user |= {"createdAt": made_ms, "lastSeenAt": made_ms}
    open_id = record.open_id if record else principal.open_id
    if open_id is not None:
        user["oAuthUserId"] = open_id
    return dump_json({"user": user, **user})


def _is_anonymous(principal: Principal) -> bool:
    """Authorized without a platform, by whatever app (none is an empty id): there is no record, so none is
    looked for. Of those whom a backend or function names, neither is known."""
    return principal.provider is None and principal.app_id is not None
