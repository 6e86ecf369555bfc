"""Rates in the memory of one gateway: bounded, however many keys there are."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from runtime.ports import Clock
from runtime.ports.rates import RateRule, RateStore


@dataclass(slots=True)
class _Window:
    """Seconds of the monotonic clock."""

    count: int
    ends: float


class _Table:
    """The keys of one rule. Those that are counted and those that are blocked have a bound each, so that a
    flood of new keys pushes out no blocked one."""

    def __init__(self, keys_max: int) -> None:
        self._keys_max = keys_max
        self.windows: OrderedDict[str, _Window] = OrderedDict()
        """The least recently hit first."""
        self.blocked: OrderedDict[str, float] = OrderedDict()
        """Until when; in the order of blocking, which is about that of the ends."""

    def hit(self, key: str, rule: RateRule, now: float) -> float:
        until = self.blocked.get(key)
        if until is not None:
            if until > now:
                return until - now
            del self.blocked[key]
        window = self.windows.get(key)
        if window is None:
            self._make_room(now)
            self.windows[key] = _Window(1, now + rule.window_s)
            return 0.0
        self.windows.move_to_end(key)
        if window.ends <= now:
            window.count, window.ends = 1, now + rule.window_s
            return 0.0
        window.count += 1
        if window.count <= rule.limit:
            return 0.0
        del self.windows[key]
        return self._block(key, now + rule.block_s if rule.block_s else window.ends, now)

    def _make_room(self, now: float) -> None:
        """For one more window: two that are over go with each that comes, and one that is not if it must."""
        for _ in range(2):
            if not self.windows or next(iter(self.windows.values())).ends > now:
                break
            self.windows.popitem(last=False)
        if len(self.windows) >= self._keys_max:
            self.windows.popitem(last=False)

    def _block(self, key: str, until: float, now: float) -> float:
        while self.blocked and next(iter(self.blocked.values())) <= now:
            self.blocked.popitem(last=False)
        if len(self.blocked) >= self._keys_max:
            self.blocked.popitem(last=False)  # its block is nearly over, more or less
        self.blocked[key] = until
        return until - now


class RatesMemory(RateStore):
    """See `RateStore`. Nothing awaits, so every hit is one step. `keys_max` is for each rule, of
    keys that are counted and of keys that are blocked."""

    def __init__(self, *, clock: Clock, keys_max: int) -> None:
        self._clock = clock
        self._keys_max = keys_max
        self._tables: dict[str, _Table] = {}

    async def hit(self, key: str, rule: RateRule) -> float:
        table = self._tables.get(rule.name)
        if table is None:
            table = self._tables[rule.name] = _Table(self._keys_max)
        return table.hit(key, rule, self._clock.monotonic())

    def __len__(self) -> int:
        """Keys that are remembered."""
        return sum(len(each.windows) + len(each.blocked) for each in self._tables.values())
