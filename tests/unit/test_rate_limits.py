"""Rates of addresses and users, and what the refused are told."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from runtime.backends.rates_memory import RatesMemory
from runtime.errors import TooManyRequestsError
from runtime.gateway.management import answers as management_answers
from runtime.gateway.triggers.answers import refusal_of_error
from runtime.services.rate_limits import RateLimits
from runtime.services.sdk_errors import told_to_strangers
from runtime.settings.abuse import AbuseSettings
from tests.harness.clock import FakeClock


def limits(**settings: float) -> RateLimits:
    store = RatesMemory(clock=FakeClock(), keys_max=1000)
    return RateLimits.from_settings(store, AbuseSettings.model_validate(settings))


async def allowed(limits: RateLimits, address: str | None) -> bool:
    try:
        await limits.check_ip(None if address is None else ip_address(address))
    except TooManyRequestsError:
        return False
    return True


async def test_nothing_is_limited_by_default() -> None:
    unlimited = limits()
    for _ in range(1000):
        await unlimited.check_ip(ip_address("192.0.2.1"))
        await unlimited.check_user("mp-1", "u")
    assert unlimited.refused == 0


async def test_addresses_are_counted_apart_and_networks_of_subscribers_together() -> None:
    one = limits(rate_ip_limit=1)
    assert await allowed(one, "192.0.2.1")
    assert await allowed(one, "192.0.2.2")
    assert not await allowed(one, "192.0.2.1")
    assert await allowed(one, "2001:db8:1:2::1")
    assert not await allowed(one, "2001:db8:1:2:ffff::9")
    assert await allowed(one, "2001:db8:1:3::1")
    assert await allowed(one, None)
    assert not await allowed(one, None)
    assert one.refused == 3


async def test_users_are_those_of_their_space_and_nobody_is_none() -> None:
    one = limits(rate_user_limit=1)
    await one.check_user("mp-1", "u")
    await one.check_user("mp-2", "u")
    for _ in range(3):
        await one.check_user("mp-1", None)
    with pytest.raises(TooManyRequestsError):
        await one.check_user("mp-1", "u")


async def test_the_refused_are_told_when_to_come_again() -> None:
    one = limits(rate_ip_limit=1, rate_ip_block_s=7.2)
    await one.check_ip(None)
    with pytest.raises(TooManyRequestsError) as raised:
        await one.check_ip(None)
    error = raised.value
    assert error.code == "Throttling.Api"
    assert error.retry_after_s == 8
    assert told_to_strangers(error, "r") == error.message
    assert "try again in 8 s" in error.message
    refusal = refusal_of_error(error, "r")
    assert (refusal.status, refusal.headers) == (429, (("retry-after", "8"),))
    response = management_answers.failure(error, request_id="r", host="h")
    assert (response.status, response.headers["Retry-After"]) == (429, "8")
