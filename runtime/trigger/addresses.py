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


def trigger_address(
    host: str,
    raw_path: str,
    *,
    trigger_domain: str,
    space_of_domain: Callable[[str], str | None],
) -> TriggerAddress | None:
    """None when the request is for the gateway itself. Whether the space exists is not looked at.

    Every path of a trigger host name belongs to triggers: the gateway's own addresses are not served under
    the name of a space.
    """
    name = host_name(host)
    label, dot, parent = name.partition(".")
    if dot and parent == trigger_domain:
        return TriggerAddress(space_id=label, raw_path=raw_path, origin=Origin.SPACE)
    space_id = space_of_domain(name)
    if space_id is not None:
        return TriggerAddress(space_id=space_id, raw_path=raw_path, origin=Origin.DOMAIN)
    if raw_path.startswith(PATH_FORM):
        space_id, slash, rest = raw_path.removeprefix(PATH_FORM).partition("/")
        return TriggerAddress(space_id=space_id, raw_path=slash + rest, origin=Origin.GATEWAY)
    return None
