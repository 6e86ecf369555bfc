"""A uid of its own for each live sandbox: the wall between functions that share a kernel."""

from __future__ import annotations

import os
from pathlib import Path

from sandbox.api import SandboxError

UIDS = range(700_000, 765_536)
"""Where no distribution puts users; one for each live sandbox and one for what watches them."""

_UID_MAP = Path("/proc/self/uid_map")


def uid_in_use(uid: int) -> bool:
    """Whether any process that we can see has this real uid. One system call."""
    try:
        os.getpriority(os.PRIO_USER, uid)
    except ProcessLookupError:
        return False
    return True


def check_uids(uids: range, uid_map: str | None = None) -> None:
    """Raises SandboxError for a range that this user namespace does not have as a whole."""
    text = _UID_MAP.read_text(encoding="ascii") if uid_map is None else uid_map
    mapped = (tuple(map(int, line.split())) for line in text.splitlines())
    if not any(first <= uids[0] and uids[-1] < first + count for first, _, count in mapped):
        raise SandboxError(
            f"uids {uids[0]} to {uids[-1]}, of which each sandbox gets one, do not exist here.",
            what_next="This container maps fewer uids: choose a range that it has.",
        )


class UidPool:
    """Uids in turn, so that one that was just used comes last again."""

    def __init__(self, uids: range) -> None:
        """`uids` has at least two; the first one is `init_uid`."""
        self.init_uid = uids[0]
        self._uids = uids[1:]
        # Two workers of one machine begin at different places; `uid_in_use` tells the rest.
        self._next = os.getpid() * 64 % len(self._uids)
        self._taken: set[int] = set()

    def take(self) -> int:
        """One that no process has. Raises SandboxError when there is none."""
        for _ in self._uids:
            uid = self._uids[self._next]
            self._next = (self._next + 1) % len(self._uids)
            if uid not in self._taken and not uid_in_use(uid):
                self._taken.add(uid)
                return uid
        raise SandboxError(f"all {len(self._uids)} uids for sandboxes are in use.")

    def give_back(self, uid: int) -> None:
        """Idempotent. One that still has a process is not taken again before that is gone."""
        self._taken.discard(uid)
