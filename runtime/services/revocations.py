"""Revoked tokens: of one user, or of everybody (design decision 11).

What was revoked stands in the space, so every gateway knows it with its view of the space. Tokens say when
they were issued by the clock of their gateway, which may be ahead of the one that revokes: so a revocation
refuses tokens of some seconds after it, too, and a gateway that knows of it stamps new ones later than that.
A gateway that does not know of it yet issues tokens that are refused as soon as it does; the SDKs then
authorize again, once a call.

A revocation is forgotten when no token of its time can live any more, so there are few. When there are too
many nevertheless, the oldest ones become one for everybody's tokens of their time: those who are not meant
authorize again, as at the end of any token (anonymous users as new ones). No revocation is ever lost.
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
CLOCKS_APART_MS = 5_000
"""How far the clocks of gateways may be apart. More would refuse more tokens of gateways that learn of a
revocation late; they know after about as long."""
_KEPT_LONGER_MS = 60_000
"""A revocation is kept so much longer than tokens live, whatever clocks say."""


def stamp_ms(access: AccessConfig, user_id: str | None, now_ms: int) -> int:
    """The time of issue for a new token of this user: the earliest from now that no revocation covers. Up to
    `CLOCKS_APART_MS` ahead, more if clocks are further apart; the token's end does not depend on it."""
    own = (each.before_ms for each in access.revocations if each.user_id == user_id)
    return max(now_ms, access.tokens_from_ms, *own)


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
        self._kept_ms = token_ttl_s * 1000 + _KEPT_LONGER_MS
        self._max = revocations_max

    async def revoke_user(self, space_id: str, user_id: str) -> int:
        """Refuse the tokens that this user has now; a new authorization works, for there is no record of
        anonymous users that could say who exists. Returns the time until which they were issued, ms.

        Here it holds at once, on other gateways within `YUNHAN_CONTROL_POLL_S`, at the latest after
        `YUNHAN_CONTROL_MAX_AGE_S`: until then an authorization there gives a token that is refused here.
        Raises InvalidParameterError."""
        if not _USER_ID.fullmatch(user_id):
            raise InvalidParameterError(
                "UserId", "UserId is the userId of a user: 24 hex digits in lower case"
            )
        now_ms = self._clock.now_ms()

        def change(space: Space) -> Space:
            access = space.access
            others = tuple(each for each in access.revocations if each.user_id != user_id)
            before_ms = _after(stamp_ms(access, user_id, 0), now_ms)
            mine = Revocation(user_id=user_id, before_ms=before_ms)
            return self._with(space, replace(access, revocations=(*others, mine)), now_ms)

        await self._editor.change(space_id, change)
        _log.info("user_revoked", space=space_id, user=user_id)
        return now_ms

    async def revoke_everybody(self, space_id: str) -> int:
        """Refuse all tokens that were issued until now; otherwise as `revoke_user`."""
        now_ms = self._clock.now_ms()

        def change(space: Space) -> Space:
            access = space.access
            stamps = (access.tokens_from_ms, *(each.before_ms for each in access.revocations))
            access = replace(access, tokens_from_ms=_after(max(stamps), now_ms))
            return self._with(space, access, now_ms)

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


def _after(stamped_ms: int, now_ms: int) -> int:
    """The end of a revocation that is made now: after what gateways whose clocks are ahead issued, and after
    what an earlier revocation, perhaps of such a gateway, let them stamp (`stamped_ms`)."""
    return max(now_ms + CLOCKS_APART_MS, stamped_ms + 1)
