"""Our own actions on the tokens of users; the original has none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.gateway.management.answers import iso
from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.parameters import Parameters


async def yunhan_revoke_user(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """Refuse the tokens that the user `UserId` has now. `IssuedBefore` tells which those are."""
    space_id, user_id = parameters.needed("SpaceId"), parameters.needed("UserId")
    before_ms = await deps.revocations.revoke_user(space_id, user_id)
    return {"UserId": user_id, "IssuedBefore": iso(before_ms)}


async def yunhan_revoke_tokens(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """Refuse all tokens of the space."""
    before_ms = await deps.revocations.revoke_everybody(parameters.needed("SpaceId"))
    return {"IssuedBefore": iso(before_ms)}


ACTIONS = {
    "YunhanRevokeUser": yunhan_revoke_user,
    "YunhanRevokeTokens": yunhan_revoke_tokens,
}
