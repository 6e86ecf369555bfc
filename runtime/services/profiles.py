"""What `user.getInfo()` tells of a user (spec: client protocol §5, functions (a))."""

from __future__ import annotations

from runtime.messages import Principal
from sandbox.json_text import dump_json


def profile_of(space_id: str, principal: Principal) -> bytes:
    """The JSON text of `data`: the members in `user` and flat beside it, because apps read both.

    Nobody is an empty `user`, on which apps do not fall. Times and the platform's id of a user are not told:
    there are no records of users yet.
    """
    if principal.user_id is None:
        return b'{"user":{}}'
    user = {"userId": principal.user_id, "spaceId": space_id}
    return dump_json({"user": user, **user})
