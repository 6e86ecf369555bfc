"""Origins of web pages and the patterns that allow them. Pure (spec: functions, CORS)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address

from runtime.settings.fields import HOST_NAME, ascii_host

_PORTS = {"http": 80, "https": 443}
_TEXT_MAX = 300
_CACHED = 4096
_ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[^\s/:@?#\[\]\\]+)(?::([0-9]{1,5}))?", re.ASCII
)
_PATTERN = re.compile(
    r"(?:([a-z][a-z0-9+.-]*)://)?(\[[0-9a-f:.]+\]|[^\s/:@?#\[\]\\]+)(?::([0-9]{1,5}))?/?"
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a page comes from. `port` is that of the scheme when none was named, -1 for other schemes."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class OriginPattern:
    """Which origins are allowed. `host` is a name, `*.` and a name for all below it, or `*` for every origin,
    also those that are none (`null`)."""

    scheme: str | None
    """None: http and https."""
    host: str
    port: int | None
    """None: the scheme's."""

    def allows(self, origin: Origin) -> bool:
        """Whether a page from there may call."""
        if self.host == "*":
            return True
        schemes = _PORTS if self.scheme is None else {self.scheme}
        if origin.scheme not in schemes or not host_matches(self.host, origin.host):
            return False
        return origin.port == (_scheme_port(origin.scheme) if self.port is None else self.port)

    def __str__(self) -> str:
        """As it is stored and shown: patterns of the same meaning look the same."""
        scheme = "" if self.scheme is None else f"{self.scheme}://"
        return f"{scheme}{self.host}" + ("" if self.port is None else f":{self.port}")


def host_matches(pattern: str, host: str) -> bool:
    """`*.example.com` is every name below, not `example.com` itself."""
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


@lru_cache(_CACHED)
def read_origin(text: str) -> Origin | None:
    """The origin that a browser sent; None when it is none: `null`, a list, anything with a path."""
    if len(text) > _TEXT_MAX or not text.isascii():  # browsers write names in xn--
        return None
    match = _ORIGIN.fullmatch(text.lower())
    if match is None:
        return None
    port = int(match[3]) if match[3] else _scheme_port(match[1])
    return Origin(match[1], match[2], port) if port <= 65535 else None


@lru_cache(_CACHED)
def read_pattern(text: str) -> OriginPattern:
    """Raises ValueError, which says what is wrong with it."""
    text = text.strip().lower()
    if text == "*":
        return OriginPattern(None, "*", None)
    match = _PATTERN.fullmatch(text) if len(text) <= _TEXT_MAX else None
    if match is None:
        raise ValueError(
            "a host name, *. before it for all below it, with a port or a scheme or without, and no path:"
            " example.com, *.example.com, example.com:8080, https://example.com; or * for every page"
        )
    scheme, host, port = match[1], _host(match[2]), int(match[3]) if match[3] else None
    if port is not None and not 1 <= port <= 65535:
        raise ValueError("a port from 1 to 65535")
    if scheme is not None and port == _scheme_port(scheme):
        port = None
    return OriginPattern(scheme, host, port)


def _host(text: str) -> str:
    if text.startswith("["):
        try:
            return f"[{IPv6Address(text[1:-1])}]"
        except AddressValueError:
            raise ValueError("an IPv6 address between its brackets, e.g. [::1]") from None
    below = "*." if text.startswith("*.") else ""
    try:
        name = ascii_host(text.removeprefix("*."))
    except UnicodeError:
        name = ""
    if not HOST_NAME.fullmatch(name):
        raise ValueError("a host name; * stands alone or, with a point, before one: *.example.com")
    return below + name


def _scheme_port(scheme: str) -> int:
    return _PORTS.get(scheme, -1)
