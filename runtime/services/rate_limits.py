"""How often an address or a user may ask, before anything costly is done for them."""

from __future__ import annotations

import math
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from runtime.errors import TooManyRequestsError
from runtime.ports.rates import RateRule, RateStore
from runtime.settings.abuse import AbuseSettings

_KEYS_CACHED = 4096
_HOST_BITS = 64
"""Of an IPv6 address: one subscriber has a whole /64, often a greater network."""


class RateLimits:
    """See the module. A rule that is None limits nothing. A user of another space is another user."""

    def __init__(
        self, store: RateStore, *, per_ip: RateRule | None, per_user: RateRule | None
    ) -> None:
        self._store = store
        self._per_ip = per_ip
        self._per_user = per_user
        self.refused = 0
        """Requests, since the start."""

    @classmethod
    def from_settings(cls, store: RateStore, settings: AbuseSettings) -> RateLimits:
        """With the rules of the installation."""
        return cls(
            store,
            per_ip=_rule(
                "ip",
                settings.rate_ip_limit,
                settings.rate_ip_window_s,
                settings.rate_ip_block_s,
            ),
            per_user=_rule(
                "user",
                settings.rate_user_limit,
                settings.rate_user_window_s,
                settings.rate_user_block_s,
            ),
        )

    async def check_ip(self, address: IPv4Address | IPv6Address | None) -> None:
        """Count one request of an address; those without one count as one. Raises TooManyRequestsError."""
        if self._per_ip is not None:
            await self._check(address_key(address), self._per_ip, "your address")

    async def check_user(self, space_id: str, user_id: str | None) -> None:
        """Count one request of a user; nobody is not counted. Raises TooManyRequestsError."""
        if self._per_user is not None and user_id is not None:
            await self._check(f"{space_id}/{user_id}", self._per_user, "this user")

    async def _check(self, key: str, rule: RateRule, who: str) -> None:
        wait_s = await self._store.hit(key, rule)
        if wait_s:
            self.refused += 1
            raise TooManyRequestsError(who, retry_after_s=math.ceil(wait_s))


def _rule(name: str, limit: int, window_s: float, block_s: float) -> RateRule | None:
    if not limit:
        return None
    return RateRule(name=name, limit=limit, window_s=window_s, block_s=block_s)


@lru_cache(_KEYS_CACHED)
def address_key(address: IPv4Address | IPv6Address | None) -> str:
    """The same for all addresses that count as one; empty for those that are not known."""
    if isinstance(address, IPv6Address):
        return f"{IPv6Address(int(address) >> _HOST_BITS << _HOST_BITS)}/{_HOST_BITS}"
    return str(address) if address is not None else ""
