"""Whose room uploads and downloads take, so that nobody takes the others'."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from runtime.gateway.under_way import Share
from runtime.services.file_uploads import Grant

ClientKey = Callable[[web.Request], str | None]
"""Which client a request comes from, the same for all addresses that count as one. None: not known, and
nothing is counted by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadShares:
    """Uploads at once: of all, of a space, of one app user, and of app users at one address (0: no bound).

    Of the first two, app users never have the last `reserved_percent`: identities of app users are free."""

    at_once_max: int
    per_space_max: int
    per_user_max: int
    per_client_max: int
    reserved_percent: int

    def of(self, grant: Grant, client: str | None) -> list[Share]:
        """What an upload counts for beside the whole. The narrowest come first: their names are told."""
        space_id = grant.space_id
        space = Share(("space", space_id), self.per_space_max, "YUNHAN_FILE_UPLOADS_MAX_PER_SPACE")
        if grant.trusted:
            return [space]
        reserved = "YUNHAN_FILE_UPLOADS_MAX_RESERVED_PERCENT"
        return [
            Share(
                ("user", space_id, grant.owner_id or ""),
                self.per_user_max,
                "YUNHAN_FILE_UPLOADS_MAX_PER_USER",
            ),
            *client_share(client, self.per_client_max, "YUNHAN_FILE_UPLOADS_MAX_PER_CLIENT"),
            Share(("users of space", space_id), self._unreserved(self.per_space_max), reserved),
            space,
            Share(("users",), self._unreserved(self.at_once_max), reserved),
        ]

    def _unreserved(self, at_once_max: int) -> int:
        return max(1, at_once_max * (100 - self.reserved_percent) // 100)


def client_share(client: str | None, at_once_max: int, setting: str) -> list[Share]:
    """None where the client is not known, or there is no bound."""
    if client is None or not at_once_max:
        return []
    return [Share(("client", client), at_once_max, setting)]


def unknown_client(_request: web.Request) -> None:
    """The `ClientKey` of a worker: all its sandboxes are clients, and cannot be told apart."""
