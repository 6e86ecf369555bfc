"""End users of a space whom a platform knows."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.messages.access import Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    """A user who came through a platform; anonymous users have none. Times in ms since 1970."""

    space_id: str
    user_id: str
    """24 hex digits, the first 8 are `created_ms` in seconds. Ours, the same for ever."""
    provider: Provider
    app_id: str
    open_id: str
    """What the platform calls this user in this app."""
    created_ms: int
    last_seen_ms: int
