"""How many uploads may be open at once: under way, or stored and not reported yet."""

from __future__ import annotations

import math
from dataclasses import dataclass

import structlog

from runtime.files.refusals import TooManyUploadsError
from runtime.ports import Clock, FileRecords

_log = structlog.get_logger(__name__)

_TOLD_EVERY_S = 60.0
"""A space that is full is asked for room with every further upload; the log need not have each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomLimits:
    """The settings `file_uploads_open_max_per_*` and `file_uploads_reserved_percent`."""

    per_space: int
    per_user: int
    """Of those that apps begin for one user."""
    reserved_percent: int
    """Of `per_space`: what apps leave to functions, backends and the management side."""

    @property
    def for_apps(self) -> int:
        """Uploads of a space beyond which apps begin no more; at least one."""
        return max(1, self.per_space * (100 - self.reserved_percent) // 100)


class FileUploadRoom:
    """Counts of a moment: uploads that begin at the same time may all find the last place free."""

    def __init__(self, *, records: FileRecords, clock: Clock, limits: RoomLimits) -> None:
        self._records = records
        self._clock = clock
        self._limits = limits
        self._told_s = -math.inf

    async def check(self, space_id: str, *, owner_id: str | None, trusted: bool) -> None:
        """Whether one more may begin. Raises TooManyUploadsError, UnavailableError."""
        limits = self._limits
        per_space = limits.per_space if trusted else limits.for_apps
        if await self._records.open_uploads(space_id, limit=per_space) >= per_space:
            setting = "YUNHAN_FILE_UPLOADS_OPEN_MAX_PER_SPACE"
            raise self._refused(space_id, "this space", per_space, setting)
        if trusted or owner_id is None:
            return
        open_now = await self._records.open_uploads(
            space_id, owner_id=owner_id, limit=limits.per_user
        )
        if open_now >= limits.per_user:
            setting = "YUNHAN_FILE_UPLOADS_OPEN_MAX_PER_USER"
            raise self._refused(space_id, "this user", limits.per_user, setting)

    def _refused(self, space_id: str, whose: str, bound: int, setting: str) -> TooManyUploadsError:
        now_s = self._clock.monotonic()
        if now_s - self._told_s >= _TOLD_EVERY_S:
            self._told_s = now_s
            _log.warning("too_many_uploads_open", space=space_id, bound=bound, setting=setting)
        return TooManyUploadsError(whose, bound)
