"""Conditional requests for one version of a file (RFC 9110, 13)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

_TAG = re.compile(r'[ \t]*(W/)?("[\x21\x23-\x7e\x80-\U0010ffff]*")[ \t]*(?:,|$)')
_DATE_MAX = 64
"""Characters: the parser is not shown more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validators:
    """What tells this version from others. `etag` in its quotes, strong; `modified_s` since 1970."""

    etag: str
    modified_s: int

    @property
    def last_modified(self) -> str:
        """As an HTTP date."""
        return format_datetime(datetime.fromtimestamp(self.modified_s, UTC), usegmt=True)


def precondition_status(headers: Mapping[str, str], now: Validators) -> int | None:
    """304, 412, or None: serve it. For GET and HEAD; names in lower case, lines of one name joined by commas.

    A date that cannot be read is no condition; a list of tags that cannot be read names no version.
    """
    if (tags := headers.get("if-match")) is not None:
        if not _names(tags, now.etag, weakly=False):
            return 412
    elif (since := _date(headers.get("if-unmodified-since"))) is not None and (
        now.modified_s > since
    ):
        return 412
    if (tags := headers.get("if-none-match")) is not None:
        return 304 if _names(tags, now.etag, weakly=True) else None
    since = _date(headers.get("if-modified-since"))
    return 304 if since is not None and now.modified_s <= since else None


def range_holds(if_range: str | None, now: Validators) -> bool:
    """Whether a `Range` field counts: the client's part is of this version (RFC 9110, 13.1.5).

    A date never does: within one second a file can change twice.
    """
    return if_range is None or if_range.strip(" \t") == now.etag


def _names(tags: str, etag: str, *, weakly: bool) -> bool:
    if tags.strip(" \t") == "*":
        return True
    position = 0
    while position < len(tags) and (found := _TAG.match(tags, position)) is not None:
        if found[2] == etag and (weakly or not found[1]):
            return True
        position = found.end()
    return False


def _date(text: str | None) -> float | None:
    if text is None or len(text) > _DATE_MAX:
        return None
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
