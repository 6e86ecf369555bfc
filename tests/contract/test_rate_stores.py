"""The contract of rates over every adapter."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import pytest

from runtime.backends.rates_memory import RatesMemory
from runtime.backends.rates_redis import RatesRedis
from runtime.backends.redis.connections import RedisConnections
from runtime.backends.redis.options import RedisOptions
from runtime.ports import SystemClock
from runtime.ports.rates import RateRule, RateStore
from runtime.testing.rate_store import RateStoreContract
from tests.harness.redis_server import RedisServer


class TestRatesMemory(RateStoreContract):
    @pytest.fixture
    def rates(self) -> RateStore:
        return RatesMemory(clock=SystemClock(), keys_max=1000)


class NeverAlone(RateStore):
    """What counts while Redis is away: here it never is."""

    async def hit(self, key: str, rule: RateRule) -> float:
        raise AssertionError("Redis did not answer")


@pytest.mark.integration
class TestRatesRedis(RateStoreContract):
    @pytest.fixture
    async def rivals(self, redis_server: RedisServer) -> AsyncIterator[Sequence[RateStore]]:
        """Gateways with connections of their own."""
        prefix = f"test-{uuid.uuid4().hex}"
        options = RedisOptions(host="127.0.0.1", port=redis_server.port, timeout_s=20)
        async with AsyncExitStack() as stack:
            yield [
                RatesRedis(
                    await stack.enter_async_context(RedisConnections.opened(options)),
                    prefix=prefix,
                    alone=NeverAlone(),
                    clock=SystemClock(),
                    timeout_s=20,
                    pause_s=1,
                )
                for _ in range(4)
            ]

    @pytest.fixture
    def rates(self, rivals: Sequence[RateStore]) -> RateStore:
        return rivals[0]
