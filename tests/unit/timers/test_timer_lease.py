"""One of several programs is active, whatever their wall clocks say."""

from __future__ import annotations

import pytest

from runtime.backends.lease_memory import LeasesMemory
from runtime.errors import UnavailableError
from runtime.ports import LeaseMark
from runtime.timers.lease import SoleLease
from tests.harness.clock import FakeClock

LEASE_S = 9.0


class Leases(LeasesMemory):
    """`lost`: the next change happens, its answer is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.away = self.lost = False
        self.changes = 0

    async def change(self, name: str, before: LeaseMark | None, holder: str) -> LeaseMark | None:
        if self.away:
            raise UnavailableError("away")
        self.changes += 1
        mark = await super().change(name, before, holder)
        if self.lost:
            self.lost = False
            raise UnavailableError("no answer")
        return mark


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def leases() -> Leases:
    return Leases()


def lease_of(leases: Leases, clock: FakeClock, holder: str) -> SoleLease:
    return SoleLease(leases, clock, name="timers", holder=holder, lease_s=LEASE_S)


def holds(lease: SoleLease) -> bool:
    """Of this moment."""
    return lease.holds


async def test_first_one_gets_it_and_renews_three_times_in_its_length(
    leases: Leases, clock: FakeClock
) -> None:
    a, b = lease_of(leases, clock, "a"), lease_of(leases, clock, "b")
    assert not holds(a)
    assert a.renew_in_s == 0
    for _ in range(12):
        assert await a.hold()
        assert not await b.hold()
        assert (holds(a), holds(b)) == (True, False)
        assert a.renew_in_s > 0
        clock.advance(LEASE_S / 6)
    assert leases.changes == 6


async def test_silent_holder_is_replaced_after_the_whole_length_and_knows_before(
    leases: Leases, clock: FakeClock
) -> None:
    a, b = lease_of(leases, clock, "a"), lease_of(leases, clock, "b")
    assert await a.hold()
    clock.advance(1)
    assert not await b.hold()
    clock.advance(LEASE_S - 0.5)
    assert not holds(a)
    assert not await b.hold()
    clock.advance(0.5)
    assert await b.hold()
    assert not await a.hold()


async def test_wall_clocks_do_not_matter(leases: Leases) -> None:
    ahead, behind = FakeClock(4_000_000_000_000), FakeClock(1)
    a, b = lease_of(leases, ahead, "a"), lease_of(leases, behind, "b")
    assert await a.hold()
    assert not await b.hold()
    behind.advance(LEASE_S)
    assert await b.hold()


async def test_given_back_it_is_free_at_once(leases: Leases, clock: FakeClock) -> None:
    a, b = lease_of(leases, clock, "a"), lease_of(leases, clock, "b")
    await a.give_back()
    assert await a.hold()
    await a.give_back()
    assert not holds(a)
    assert await b.hold()
    await a.give_back()
    assert holds(b)
    assert not await a.hold()


async def test_lost_answer_does_not_cost_the_lease(leases: Leases, clock: FakeClock) -> None:
    a = lease_of(leases, clock, "a")
    leases.lost = True
    with pytest.raises(UnavailableError):
        await a.hold()
    assert not holds(a)
    assert await a.hold()
    clock.advance(LEASE_S / 2)
    leases.lost = True
    with pytest.raises(UnavailableError):
        await a.hold()
    assert holds(a)
    assert await a.hold()


async def test_what_cannot_be_renewed_ends_with_its_time(leases: Leases, clock: FakeClock) -> None:
    a = lease_of(leases, clock, "a")
    assert await a.hold()
    leases.away = True
    clock.advance(LEASE_S - 0.1)
    with pytest.raises(UnavailableError):
        await a.hold()
    assert holds(a)
    clock.advance(0.1)
    assert not holds(a)
    leases.away = False
    assert await a.hold()  # nobody took it
