"""Rates that all gateways share, in Redis: one atomic script, one round trip for each hit.

While Redis does not answer each gateway counts alone: that neither opens everything nor refuses everybody."""

from __future__ import annotations

import hashlib

import structlog

from runtime.backends.redis.connections import (
    RedisAnswerError,
    RedisConnections,
    RedisRefusedError,
)
from runtime.errors import UnavailableError
from runtime.ports import Clock
from runtime.ports.rates import RateRule, RateStore
from runtime.ports.redis import RedisValue

_log = structlog.get_logger(__name__)

_SCRIPT = b"""
local limit, window, block = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local count = tonumber(redis.call('GET', KEYS[1]) or 0)
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('SET', KEYS[1], 1, 'PX', window)
  return 0
end
if count > limit then
  return math.max(left, 1)
end
count = redis.call('INCR', KEYS[1])
if count <= limit then
  return 0
end
if block > 0 then
  redis.call('PEXPIRE', KEYS[1], block)
  return block
end
return math.max(left, 1)
"""
"""The key holds the hits and lives as long as the window, or the block when it has one hit too many. Times
are Redis's own, in ms: gateways' clocks do not matter. Less than one is left of a key whose PTTL is 0."""
_DIGEST = hashlib.sha1(_SCRIPT, usedforsecurity=False).hexdigest().encode()


class RatesRedis(RateStore):
    """See the module. `alone` counts while Redis is away; every `pause_s` one hit asks Redis again."""

    def __init__(
        self,
        connections: RedisConnections,
        *,
        prefix: str,
        alone: RateStore,
        clock: Clock,
        timeout_s: float,
        pause_s: float,
    ) -> None:
        self._connections = connections
        self._prefix = prefix
        self._alone = alone
        self._clock = clock
        self._timeout_s = timeout_s
        self._pause_s = pause_s
        self._away_until: float | None = None
        """None: Redis answered the last time."""

    @property
    def problem(self) -> str | None:
        """Why counts are not shared now."""
        return (
            None if self._away_until is None else "Redis does not answer; each gateway counts alone"
        )

    async def tell_problem(self) -> str | None:
        """`problem`, for a health check: it asks nobody."""
        return self.problem

    async def hit(self, key: str, rule: RateRule) -> float:
        if self._away_until is not None:
            now = self._clock.monotonic()
            if now < self._away_until:
                return await self._alone.hit(key, rule)
            self._away_until = now + self._pause_s  # this hit asks, the others do not wait for it
        try:
            left_ms = await self._ask(key, rule)
        except (UnavailableError, RedisRefusedError, RedisAnswerError) as error:
            if self._away_until is None:
                _log.warning("rates_redis_lost", error=str(error))
            self._away_until = self._clock.monotonic() + self._pause_s
            return await self._alone.hit(key, rule)
        if self._away_until is not None:
            self._away_until = None
            _log.info("rates_redis_back")
        return left_ms / 1000

    async def _ask(self, key: str, rule: RateRule) -> int:
        arguments = (
            b"1",
            f"{self._prefix}:rate:{rule.name}:{key}".encode("utf-8", "replace"),
            b"%d" % rule.limit,
            b"%d" % max(1, round(rule.window_s * 1000)),
            b"%d" % round(rule.block_s * 1000),
        )
        try:
            answer = await self._call(b"EVALSHA", _DIGEST, *arguments)
        except RedisRefusedError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
            answer = await self._call(b"EVAL", _SCRIPT, *arguments)
        if not isinstance(answer, int):
            raise RedisRefusedError("the answer to the script is no number")
        return answer

    async def _call(self, *command: bytes) -> RedisValue:
        return await self._connections.call(command, timeout_s=self._timeout_s)
