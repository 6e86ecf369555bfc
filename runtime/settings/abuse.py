"""Who may come, and how often: origins of browsers, addresses, rates."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import field_validator

from runtime.settings.fields import SettingGroup, setting
from runtime.settings.networks import Network, parse_networks

_HOST_PATTERN = re.compile(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:.]+\]")


class AbuseSettings(SettingGroup):
    """Checked by the gateway before a queue or a sandbox is touched.

    No rate is limited by default. Whole offices and mobile networks share one address, and behind a proxy
    that YUNHAN_TRUSTED_PROXIES does not name everybody has the proxy's: a limit that nobody chose would
    refuse honest users first. A limit for users alone stops nobody: everybody can be a new anonymous one."""

    cors_domains_max: int = setting(
        9, "count", "origins that a space may allow to call it from browsers", ge=1, le=1000
    )
    cors_always: str = setting(
        "localhost, 127.0.0.1, [::1]",
        "host names",
        "origins that may call every space, at any port: pages under development; empty = none",
    )
    trusted_proxies: str = setting(
        "",
        "networks",
        "proxies before us whose word about the client's address counts, e.g. 10.0.0.0/8; empty = no header"
        " is believed",
    )
    trusted_proxy_header: Literal["x-forwarded-for", "forwarded"] = setting(
        "x-forwarded-for",
        "name",
        "the header that those proxies write; the other one comes from anybody and is ignored",
    )
    clients_allow: str = setting(
        "", "networks", "clients that are served, by address; empty = all that are not denied"
    )
    clients_deny: str = setting(
        "", "networks", "clients that are not served, by address, also when they are allowed"
    )
    rate_ip_limit: int = setting(
        0,
        "count",
        "requests from one address (IPv6: one /64) in a window to /client, upload forms and"
        " triggers; 0 = no limit",
        ge=0,
    )
    rate_ip_window_s: float = setting(60.0, "s", "the window of YUNHAN_RATE_IP_LIMIT", ge=0.001)
    rate_ip_block_s: float = setting(
        60.0,
        "s",
        "an address beyond its limit is refused for so long; 0 = until its window ends",
        ge=0,
    )
    rate_user_limit: int = setting(
        0, "count", "requests of one user in a window to /client; 0 = no limit", ge=0
    )
    rate_user_window_s: float = setting(60.0, "s", "the window of YUNHAN_RATE_USER_LIMIT", ge=0.001)
    rate_user_block_s: float = setting(
        60.0, "s", "a user beyond the limit is refused for so long; 0 = until the window ends", ge=0
    )
    rate_keys_max: int = setting(
        100_000,
        "count",
        "addresses, and users, that a gateway counts in memory at the same time, and as many that it"
        " refuses",
        ge=100,
    )

    @field_validator("trusted_proxies", "clients_allow", "clients_deny")
    @classmethod
    def _networks(cls, value: str) -> str:
        parse_networks(value)
        return value

    @field_validator("cors_always")
    @classmethod
    def _host_patterns(cls, value: str) -> str:
        for each in split_hosts(value):
            if not _HOST_PATTERN.fullmatch(each):
                raise ValueError(
                    "host names in lower case, *. before one for all below it, no scheme and no port, e.g."
                    f" localhost, *.example.com; {each[:60]!r} is none"
                )
        return value

    @property
    def trusted_proxy_networks(self) -> tuple[Network, ...]:
        """`trusted_proxies`, read."""
        return parse_networks(self.trusted_proxies)

    @property
    def clients_allow_networks(self) -> tuple[Network, ...]:
        """`clients_allow`, read."""
        return parse_networks(self.clients_allow)

    @property
    def clients_deny_networks(self) -> tuple[Network, ...]:
        """`clients_deny`, read."""
        return parse_networks(self.clients_deny)

    @property
    def cors_always_hosts(self) -> tuple[str, ...]:
        """`cors_always`, read."""
        return split_hosts(self.cors_always)


def split_hosts(text: str) -> tuple[str, ...]:
    """With commas or spaces between them."""
    return tuple(text.replace(",", " ").split())
