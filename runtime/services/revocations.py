"""Revoked tokens: of one user, or of everybody (design decision 11).

What was revoked stands in the space, so every gateway knows it with its view of the space. A revocation is
forgotten when no token of its time can live any more, so there are few. When there are too many nevertheless,
the oldest ones become one for everybody's tokens of their time: those who are not meant authorize again, as
at the end of any token (anonymous users as new ones). No revocation is ever lost.
"""

from __future__ import annotations

import re
from dataclasses import replace

import structlog

from runtime.errors import InvalidParameterError
from runtime.messages import AccessConfig, Revocation, Space
from runtime.ports import Clock
from runtime.services.space_editor import SpaceEditor

_log = structlog.get_logger(__name__)

_USER_ID = re.compile(r"[0-9a-f]{24}", re.ASCII)
_CLOCKS_MS = 60_000
"""How far the clocks of gateways may be apart: a revocation is kept so much longer than tokens live."""


def is_revoked(access: AccessConfig, user_id: str | None, issued_ms: int) -> bool:
    """Whether a token of this user that was issued then is refused."""
    if issued_ms < access.tokens_from_ms:
        return True
    return any(
        each.user_id == user_id and issued_ms < each.before_ms for each in access.revocations
    )


class RevocationService:
    """Use cases. Unknown spaces raise NotFoundError."""

    def __init__(
        self, *, editor: SpaceEditor, clock: Clock, token_ttl_s: int, revocations_max: int
    ) -> None:
        self._editor = editor
        self._clock = clock
        self._kept_ms = token_ttl_s * 1000 + _CLOCKS_MS
        self._max = revocations_max

    async def revoke_user(self, space_id: str, user_id: str) -> int:
        """Refuse the tokens that this user has now; a new authorization works, for there is no record of
        anonymous users that could say who exists. Returns the time before which they were issued, ms.

        Here it holds at once, on other gateways within `YUNHAN_CONTROL_POLL_S`, at the latest after
        `YUNHAN_CONTROL_MAX_AGE_S`. Raises InvalidParameterError."""
        if not _USER_ID.fullmatch(user_id):
            raise InvalidParameterError(
                "UserId", "UserId is the userId of a user: 24 hex digits in lower case"
            )
        now_ms = self._clock.now_ms()

        def change(space: Space) -> Space:
            others = tuple(each for each in space.access.revocations if each.user_id != user_id)
            mine = Revocation(user_id=user_id, before_ms=now_ms)
            return self._with(space, replace(space.access, revocations=(*others, mine)), now_ms)

        await self._editor.change(space_id, change)
        _log.info("user_revoked", space=space_id, user=user_id)
        return now_ms

    async def revoke_everybody(self, space_id: str) -> int:
        """Refuse all tokens that were issued until now; otherwise as `revoke_user`."""
        now_ms = self._clock.now_ms()

        def change(space: Space) -> Space:
            from_ms = max(space.access.tokens_from_ms, now_ms)
            return self._with(space, replace(space.access, tokens_from_ms=from_ms), now_ms)

        await self._editor.change(space_id, change)
        _log.info("tokens_revoked", space=space_id)
        return now_ms

    def _with(self, space: Space, access: AccessConfig, now_ms: int) -> Space:
        """The space with what still matters of `access`."""
        oldest_ms = max(now_ms - self._kept_ms, access.tokens_from_ms)
        alive = [each for each in access.revocations if each.before_ms > oldest_ms]
        alive.sort(key=lambda each: each.before_ms)
        too_many = alive[: max(0, len(alive) - self._max)]
        from_ms = access.tokens_from_ms
        if too_many:
            from_ms = too_many[-1].before_ms
            _log.warning("revocations_joined", space=space.space_id, revocations=len(too_many))
        kept = tuple(each for each in alive if each.before_ms > from_ms)
        access = replace(access, revocations=kept, tokens_from_ms=from_ms)
        return replace(space, access=access, modified_ms=now_ms)
