"""Ids of asynchronous jobs: they prove that this installation made them, for this space.

Such a job may be accepted long before the ledger knows it (design decision 8). A MAC in the id tells a job
that waits in the queue from an id that somebody made up, without any look-up.

    job-  28 hex digits, sortable by time   16 hex digits of an HMAC over these and the space's id
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable

from runtime.ids import new_job_id

PURPOSE = "job ids"
"""For `SecretBox.derive`: every holder of the master key makes and verifies the same ids."""

_MAC_DIGITS = 16
_SHAPE = re.compile(r"job-[0-9a-f]{44}")


class JobIds:
    """Makes and verifies ids under one key."""

    def __init__(self, key: bytes, now_ms: Callable[[], int] | None = None) -> None:
        """`now_ms`: the clock of the jobs; None = the machine's."""
        self._key = key
        self._now_ms = now_ms

    def __repr__(self) -> str:
        return "JobIds(***)"

    def new(self, space_id: str) -> str:
        """An id for an asynchronous job of a space."""
        start = new_job_id(None if self._now_ms is None else self._now_ms())
        return start + self._mac(start, space_id)

    def valid(self, job_id: str, space_id: str) -> bool:
        """Whether `new` made this id for this space. Never raises; takes the same time for every MAC."""
        if not _SHAPE.fullmatch(job_id):
            return False
        start, mac = job_id[:-_MAC_DIGITS], job_id[-_MAC_DIGITS:]
        return hmac.compare_digest(mac, self._mac(start, space_id))

    @staticmethod
    def made_ms(job_id: str) -> int:
        """When a valid id was made, ms since 1970 by the clock of its maker."""
        return int(job_id[4:16], 16)

    def _mac(self, start: str, space_id: str) -> str:
        text = f"{start}\n{space_id}".encode(errors="surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()[:_MAC_DIGITS]
