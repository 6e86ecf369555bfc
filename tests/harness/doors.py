"""A gateway's door that lets everybody in, for tests of what lies behind it."""

from __future__ import annotations

from runtime.backends.rates_memory import RatesMemory
from runtime.gateway.door import Door
from runtime.gateway.visitors import Visitors
from runtime.ports import SystemClock
from runtime.services.rate_limits import RateLimits


def no_limits() -> RateLimits:
    """Counts nobody."""
    store = RatesMemory(clock=SystemClock(), keys_max=100)
    return RateLimits(store, per_ip=None, per_user=None)


def open_door() -> Door:
    """Without lists of addresses."""
    return Door(Visitors(), no_limits())
