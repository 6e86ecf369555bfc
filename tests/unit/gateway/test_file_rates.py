"""Bodies that come too slowly, by a clock that is turned by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import pytest
from aiohttp import web

from runtime.errors import CallerError
from runtime.gateway.spool import BodyChunks, LowestRate
from runtime.settings import Settings
from tests.harness.clock import FakeClock

KIB = 1024
LOWEST = LowestRate(free_s=30, bytes_per_s=4 * KIB)


@dataclass
class SlowBody:
    """Each piece comes after so many seconds."""

    clock: FakeClock
    pieces: list[tuple[float, int]]

    async def readany(self) -> bytes:
        if not self.pieces:
            return b""
        seconds, size = self.pieces.pop(0)
        self.clock.advance(seconds)
        return b"x" * size


@dataclass
class FakeRequest:
    content: SlowBody


async def received(
    pieces: Iterable[tuple[float, int]],
    *,
    lowest: LowestRate | None = LOWEST,
    between_s: float = 0,
) -> int:
    """Bytes that were taken; `between_s` passes on our side after each piece."""
    clock = FakeClock()
    request = cast("web.Request", FakeRequest(SlowBody(clock, list(pieces))))
    size = 0
    async for chunk in BodyChunks(request, idle_s=10, lowest=lowest, clock=clock):
        size += len(chunk)
        clock.advance(between_s)
    return size


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([(1, 6 * KIB)] * 400, id="EDGE, 2.3 MB"),
        pytest.param([(25, KIB)] + [(1, 5 * KIB)] * 60, id="a bad start"),
        pytest.param([(1, 12 * KIB)] * 60 + [(25, KIB)] * 5, id="a tunnel behind a good stretch"),
        pytest.param([(5, 200)] * 6, id="a few bytes for half a minute"),
        pytest.param([(0, 1)] * 1000, id="small pieces that come fast"),
    ],
)
async def test_poor_networks_pass(pieces: list[tuple[float, int]]) -> None:
    assert await received(pieces) == sum(size for _, size in pieces)


@pytest.mark.parametrize(
    ("pieces", "taken_s"),
    [
        pytest.param([(29, 1)] * 20, 58, id="as slow as the pause between bytes allows"),
        pytest.param([(1, 1)] * 600, 31, id="byte by byte"),
        pytest.param([(1, 2 * KIB)] * 600, 61, id="half the rate"),
        pytest.param([(0, 40 * KIB)] + [(1, 1)] * 600, 41, id="a fast start, then byte by byte"),
    ],
)
async def test_slower_ones_are_refused(pieces: list[tuple[float, int]], taken_s: float) -> None:
    clock = FakeClock()
    began = clock.monotonic()
    request = cast("web.Request", FakeRequest(SlowBody(clock, list(pieces))))
    with pytest.raises(CallerError, match="lowest rate is 4096 bytes/s after 30 s") as caught:
        async for _ in BodyChunks(request, idle_s=10, lowest=LOWEST, clock=clock):
            pass
    assert caught.value.code == "RequestTimeout"
    assert clock.monotonic() - began == taken_s


async def test_our_own_slowness_does_not_count() -> None:
    assert await received([(0.1, 10)] * 100, between_s=60) == 1000


async def test_without_a_lowest_rate_every_pace_is_good() -> None:
    assert await received([(29, 1)] * 20, lowest=None) == 20


def test_by_default_a_slow_photo_comes_within_its_time() -> None:
    """A lowest rate that uploads cannot keep within the time of their form would be none."""
    settings = Settings()
    lowest = LowestRate(
        free_s=settings.file_upload_free_s, bytes_per_s=settings.file_upload_min_bytes_per_s
    )
    assert lowest.allowed_s(2_000_000) < settings.file_sign_ttl_s
    assert lowest.free_s >= settings.body_timeout_s
