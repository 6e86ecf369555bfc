"""Which space's triggers a request is for: by host name, custom domain or path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

PATH_FORM = "/trigger/"

_HOST_MAX = 253


class Origin(StrEnum):
    """Whom a browser takes the answer to come from."""

    GATEWAY = "gateway"
    """The path form: everything that the gateway serves is one origin, other spaces' triggers too."""
    SPACE = "space"
    """`{space id}.{trigger domain}`: the space's own, beside those of the other spaces."""
    DOMAIN = "domain"
    """A custom domain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerAddress:
    """`raw_path` is what is left for the trigger path: as sent, not decoded, without the query."""

    space_id: str
    raw_path: str
    origin: Origin


def host_name(host: str) -> str:
    """The name in a `Host` field: lower case, without port and final dot. An IPv6 address keeps its brackets;
    what is too long for a name is the empty text."""
    if len(host) > _HOST_MAX + 7:
        return ""
    name, colon, port = host.rpartition(":")
    if not colon or not (port.isdecimal() or not port) or name.endswith(":"):
        name = host
    return name.lower().removesuffix(".")


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerNames:
    """Which host names belong to triggers. `own_hosts` are those of the gateway itself: they never do, even
    when a space has one of them as its custom domain from an earlier time."""

    domain: str
    """The trigger domain."""
    own_hosts: frozenset[str]
    space_of_domain: Callable[[str], str | None]

    def space_named(self, name: str) -> tuple[str, Origin] | None:
        """The space of a host name (see `host_name`), None when the name is not one of triggers."""
        if name in self.own_hosts:
            return None
        label, dot, parent = name.partition(".")
        if dot and parent == self.domain:
            return label, Origin.SPACE
        space_id = self.space_of_domain(name)
        return None if space_id is None else (space_id, Origin.DOMAIN)


def trigger_address(
    host: str,
    raw_path: str,
    names: TriggerNames,
) -> TriggerAddress | None:
    """None when the request is for the gateway itself. Whether the space exists is not looked at.

    Every path of a trigger host name belongs to triggers: the gateway's own addresses are not served under
    the name of a space.
    """
    named = names.space_named(host_name(host))
    if named is not None:
        space_id, origin = named
        return TriggerAddress(space_id=space_id, raw_path=raw_path, origin=origin)
    if raw_path.startswith(PATH_FORM):
        space_id, slash, rest = raw_path.removeprefix(PATH_FORM).partition("/")
        return TriggerAddress(space_id=space_id, raw_path=slash + rest, origin=Origin.GATEWAY)
    return None
