"""Who is let in, before anything is read or done for them."""

from __future__ import annotations

from aiohttp import web

from runtime.gateway.visitors import Visitors
from runtime.services.rate_limits import RateLimits, address_key


class Door:
    """The lists of addresses and the rates of one gateway."""

    def __init__(self, visitors: Visitors, rates: RateLimits) -> None:
        self._visitors = visitors
        self._rates = rates

    @property
    def refused(self) -> int:
        """Requests of addresses that are not served, since the start."""
        return self._visitors.refused

    async def let_in(self, request: web.Request) -> None:
        """A client: its address is served, and asks not too often. Raises AddressRefusedError,
        TooManyRequestsError."""
        await self._rates.check_ip(self._visitors.admit(request))

    def let_in_uncounted(self, request: web.Request) -> None:
        """Whoever holds a key of a space or of the installation. Raises AddressRefusedError."""
        self._visitors.admit(request)

    def client_ip(self, request: web.Request) -> str | None:
        """What functions are told; None when it is not known."""
        address = self._visitors.address_of(request)
        return None if address is None else str(address)

    def client_key(self, request: web.Request) -> str:
        """The same for all requests that count as one client's."""
        return address_key(self._visitors.address_of(request))
