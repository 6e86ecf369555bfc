"""What every `LeaseStore` adapter must keep."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from runtime.ports import LeaseMark, LeaseStore


class LeaseStoreContract:
    """Give `leases`, an empty store, and `rivals`, several over the same data."""

    @pytest.fixture
    def leases(self) -> LeaseStore:
        raise NotImplementedError

    @pytest.fixture
    def rivals(self, leases: LeaseStore) -> Sequence[LeaseStore]:
        return [leases] * 4

    async def test_nobody_holds_a_new_lease(self, leases: LeaseStore) -> None:
        assert await leases.read("timers") is None

    async def test_it_is_taken_renewed_given_back_and_taken_again(self, leases: LeaseStore) -> None:
        marks: list[LeaseMark | None] = [None]
        for holder in ("a", "a", "", "b"):
            mark = await leases.change("timers", marks[-1], holder)
            assert mark is not None
            assert mark.holder == holder
            assert await leases.read("timers") == mark
            marks.append(mark)
        assert [mark.number for mark in marks if mark] == [1, 2, 3, 4]

    async def test_who_saw_something_older_changes_nothing(self, leases: LeaseStore) -> None:
        first = await leases.change("timers", None, "a")
        second = await leases.change("timers", first, "b")
        assert await leases.change("timers", None, "c") is None
        assert await leases.change("timers", first, "a") is None
        assert await leases.change("timers", LeaseMark(holder="x", number=2), "x") is None
        assert await leases.read("timers") == second

    async def test_who_saw_what_was_never_there_changes_nothing(self, leases: LeaseStore) -> None:
        assert await leases.change("timers", LeaseMark(holder="a", number=1), "a") is None
        assert await leases.read("timers") is None

    async def test_leases_of_other_names_are_others(self, leases: LeaseStore) -> None:
        mine = await leases.change("timers", None, "a")
        other = await leases.change("字", None, "b")
        assert await leases.read("timers") == mine
        assert await leases.read("字") == other

    async def test_one_of_many_at_once_gets_it(
        self, leases: LeaseStore, rivals: Sequence[LeaseStore]
    ) -> None:
        before: LeaseMark | None = None
        for _ in range(5):
            marks = await asyncio.gather(
                *(each.change("timers", before, f"h{i}") for i, each in enumerate(rivals))
            )
            (won,) = [mark for mark in marks if mark is not None]
            assert await leases.read("timers") == won
            before = won
