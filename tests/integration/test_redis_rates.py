"""Rates while Redis goes away and comes back: each gateway counts alone meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from runtime.backends.rates_memory import RatesMemory
from runtime.backends.rates_redis import RatesRedis
from runtime.backends.redis.connections import RedisConnections
from runtime.backends.redis.options import RedisOptions
from runtime.ports.rates import RateRule
from tests.harness.clock import FakeClock
from tests.harness.lacking import lacks
from tests.harness.redis_server import RedisServer, missing_reason

pytestmark = pytest.mark.integration

RULE = RateRule(name="r", limit=2, window_s=600, block_s=600)
PAUSE_S = 1.0


class Gateways:
    """Two over one Redis; the clock of the pauses is turned by hand."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.clock = FakeClock()
        self.rates: list[RatesRedis] = []

    async def open(self, stack: AsyncExitStack) -> None:
        options = RedisOptions(host="127.0.0.1", port=self.server.port)
        for _ in range(2):
            connections = await stack.enter_async_context(RedisConnections.opened(options))
            self.rates.append(
                RatesRedis(
                    connections,
                    prefix="test",
                    alone=RatesMemory(clock=self.clock, keys_max=100),
                    clock=self.clock,
                    timeout_s=0.5,
                    pause_s=PAUSE_S,
                )
            )

    def alone(self) -> list[bool]:
        """Which of them count alone."""
        return [each.problem is not None for each in self.rates]

    async def hits(self, gateway: int, count: int, key: str = "a") -> list[bool]:
        """Which were allowed."""
        return [await self.rates[gateway].hit(key, RULE) == 0 for _ in range(count)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    if reason := missing_reason():
        lacks(reason)
    server = RedisServer(tmp_path / "redis")
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture
async def gateways(server: RedisServer) -> AsyncIterator[Gateways]:
    gateways = Gateways(server)
    async with AsyncExitStack() as stack:
        await gateways.open(stack)
        yield gateways


async def test_gateways_count_together(gateways: Gateways) -> None:
    assert await gateways.hits(0, 1) + await gateways.hits(1, 2) == [True, True, False]
    assert await gateways.hits(0, 1) == [False]


async def test_killed_it_neither_opens_nor_refuses_everything(gateways: Gateways) -> None:
    assert await gateways.hits(0, 1) == [True]
    gateways.server.kill()
    with capture_logs() as logs:
        assert await gateways.hits(0, 3) == [True, True, False]
        assert await gateways.hits(1, 3) == [True, True, False]
        gateways.clock.advance(PAUSE_S)
        assert await gateways.hits(0, 1) == [False]
    assert [each["event"] for each in logs] == ["rates_redis_lost"] * 2
    assert all(each["log_level"] == "warning" for each in logs)
    assert gateways.alone() == [True, True]
    gateways.server.start()
    assert await gateways.hits(0, 1) == [False]  # not asked before the pause is over
    gateways.clock.advance(PAUSE_S)
    with capture_logs() as logs:
        assert await gateways.hits(0, 3) == [True, True, False]
    assert [each["event"] for each in logs] == ["rates_redis_back"]
    assert gateways.alone() == [False, True]
    assert await gateways.hits(1, 1) == [False]  # counted by the first one, in Redis


async def test_frozen_it_is_waited_for_once_in_a_pause(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await gateways.hits(0, 1) == [True]
    asked = 0
    call = RedisConnections.call

    async def counted(self: RedisConnections, *args: object, **kwargs: object) -> object:
        nonlocal asked
        asked += 1
        return await call(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(RedisConnections, "call", counted)
    gateways.server.freeze()
    assert await gateways.hits(0, 3) == [True, True, False]
    assert asked == 1
    gateways.clock.advance(PAUSE_S)
    assert await gateways.hits(0, 3) == [False] * 3
    assert asked == 2
    gateways.server.thaw()
    gateways.clock.advance(PAUSE_S)
    assert (await gateways.hits(0, 4))[-1] is False
    assert asked == 6
    assert gateways.alone() == [False, False]


async def test_a_redis_that_forgot_the_script_learns_it_again(gateways: Gateways) -> None:
    assert await gateways.hits(0, 1) == [True]
    gateways.server.command("SCRIPT", "FLUSH")
    assert await gateways.hits(0, 2) == [True, False]
    assert gateways.alone() == [False, False]


async def test_a_key_of_another_kind_is_no_reason_to_open(gateways: Gateways) -> None:
    gateways.server.command("LPUSH", "test:rate:r:a", "x")
    assert await gateways.hits(0, 3) == [True, True, False]


async def test_every_key_ends(gateways: Gateways) -> None:
    for key in ("a", "b", "c"):
        await gateways.hits(0, 3, key)
    keys = gateways.server.command("KEYS", "*").split()
    assert sorted(keys) == ["test:rate:r:a", "test:rate:r:b", "test:rate:r:c"]
    assert all(int(gateways.server.command("PTTL", key)) > 0 for key in keys)
