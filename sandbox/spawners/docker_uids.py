"""A uid of its own for each container: limits per uid and the walls of /proc are then per sandbox.

Which uids are in use is the engine's to say, because other workers may use it: a container's name is its
uid, and the engine has no two containers of one name. So a uid is free again when its container is gone.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from sandbox.api import SandboxError
from sandbox.landlock_uids import uid_in_use

UIDS = range(800_000, 865_536)
"""Where no distribution puts users, beside those of the rung landlock."""
REMAPPED_UIDS = range(10_000, 60_000)
"""For an engine that maps the uids of its containers (rootless, userns-remap), usually 65,536 of them."""

_RANGE = re.compile(r"(\d{1,10})-(\d{1,10})")
_REMAPS = ("name=userns", "name=rootless")
_UID_MAX = 2**32 - 2


def remaps_uids(info: Mapping[str, Any]) -> bool:
    """Whether uids inside are other ones outside; `info` is the engine's answer to "info"."""
    return any(option.startswith(_REMAPS) for option in info.get("SecurityOptions") or ())


def uid_range(text: str, *, remapped: bool = False) -> range:
    """Of "first-last"; empty = the default. Raises SandboxError."""
    if not text:
        return REMAPPED_UIDS if remapped else UIDS
    found = _RANGE.fullmatch(text.strip())
    if found is not None:
        first, last = map(int, found.groups())
        if 0 < first <= last < _UID_MAX:
            return range(first, last + 1)
    raise SandboxError(
        f'"{text}" is no range of uids for containers.',
        what_next="Set YUNHAN_DOCKER_UIDS to first-last, as in 800000-865535, without uid 0.",
    )


def container_name(uid: int) -> str:
    """Which is what keeps the uid from others."""
    return f"yunhan-{uid}"


class ContainerUids:
    """Uids in turn from anywhere in the range, so that one that was just used comes last again."""

    def __init__(self, uids: range) -> None:
        self._uids = uids
        self._next = secrets.randbelow(len(uids))
        self._taken: set[int] = set()

    def take(self) -> int:
        """One that nothing here has. Raises SandboxError when there is none."""
        for _ in self._uids:
            uid = self._uids[self._next]
            self._next = (self._next + 1) % len(self._uids)
            if uid not in self._taken and not uid_in_use(uid):
                self._taken.add(uid)
                return uid
        raise SandboxError(f"all {len(self._uids)} uids for containers are in use.")

    def skip(self) -> None:
        """Another worker's are here: go on elsewhere."""
        self._next = secrets.randbelow(len(self._uids))

    def give_back(self, uid: int) -> None:
        """Idempotent."""
        self._taken.discard(uid)
