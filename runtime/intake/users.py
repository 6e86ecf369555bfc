"""Which spaces a user of the broker may send to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.json_text import JsonError, parse_json

EVERY_SPACE = "*"

_SPACE_ID = re.compile(r"mp-[A-Za-z0-9-]{1,61}")


class UsersError(ValueError):
    """The mapping is none; the message says what is wrong and what it looks like."""


@dataclass(frozen=True, slots=True)
class IntakeUsers:
    """Ids of spaces by user, `*` among them: all. A user that is not named may send to none."""

    spaces: Mapping[str, frozenset[str]]

    def __bool__(self) -> bool:
        return bool(self.spaces)

    def may_send(self, user: str, space_id: str) -> bool:
        """Whether the space exists is not asked."""
        allowed = self.spaces.get(user, frozenset())
        return EVERY_SPACE in allowed or space_id in allowed


def read_users(text: str) -> IntakeUsers:
    """`user=space,space;user2=*`; empty = nobody. Names with `=`, `;` or spaces around them need the file.

    Raises UsersError."""
    spaces: dict[str, frozenset[str]] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        user, equals, listed = part.partition("=")
        if not equals:
            raise UsersError(f"{part[:40]!r} is not user=space,space or user=*")
        _add(spaces, user.strip(), (space.strip() for space in listed.split(",")))
    return IntakeUsers(spaces)


def read_users_json(text: bytes) -> IntakeUsers:
    """`{"user": ["space", "space"], "user2": ["*"]}`. Raises UsersError."""
    try:
        value: Any = parse_json(text)
    except JsonError as error:
        raise UsersError(f"no JSON: {error}") from None
    if not isinstance(value, dict):
        raise UsersError('no object like {"user": ["space", "space"], "user2": ["*"]}')
    spaces: dict[str, frozenset[str]] = {}
    for user, listed in value.items():
        if not isinstance(listed, list) or not all(isinstance(space, str) for space in listed):
            raise UsersError(f'the spaces of {user!r} are a list of texts; all of them: ["*"]')
        _add(spaces, user, listed)
    return IntakeUsers(spaces)


def _add(spaces: dict[str, frozenset[str]], user: str, listed: Iterable[str]) -> None:
    allowed = frozenset(listed)
    if not user:
        raise UsersError("a user has a name")
    if user in spaces:
        raise UsersError(f"the user {user!r} is there twice")
    for space_id in allowed:
        if space_id != EVERY_SPACE and not _SPACE_ID.fullmatch(space_id):
            raise UsersError(
                f"{space_id[:80]!r} (of user {user!r}) is no id of a space: mp-..., as `yunhan space list`"
                f" shows it, not the name; {EVERY_SPACE} = all spaces"
            )
    spaces[user] = allowed
