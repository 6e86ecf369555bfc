"""Room for so many at once, in all and in shares."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import structlog

from runtime.errors import OverloadedError
from runtime.gateway.under_way import LOG_EVERY_S, Share, UnderWay
from tests.harness.clock import FakeClock

MINE = Share(("user", "me"), 2, "MAX_PER_USER")
YOURS = Share(("user", "you"), 2, "MAX_PER_USER")


def room(at_once_max: int, clock: FakeClock | None = None) -> UnderWay:
    return UnderWay(at_once_max, what="things", setting="MAX", clock=clock or FakeClock())


def test_the_whole_is_bounded_and_given_back() -> None:
    under_way = room(1)
    with under_way.one():
        with pytest.raises(OverloadedError, match=r"^1 things .*\(MAX\)"), under_way.one():
            pytest.fail("there was no room")
        assert under_way.count == 1
    assert under_way.count == 0
    with under_way.one():
        assert under_way.count == 1


def test_who_has_used_up_a_share_leaves_room_to_others() -> None:
    under_way = room(4)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(under_way.one(MINE))
        with pytest.raises(OverloadedError, match="MAX_PER_USER"), under_way.one(MINE):
            pytest.fail("there was no room")
        stack.enter_context(under_way.one(YOURS))
        stack.enter_context(under_way.one())
        with pytest.raises(OverloadedError, match=r"\(MAX\)"), under_way.one(YOURS):
            pytest.fail("there was no room")
        assert under_way.count == 4
    assert under_way.count == 0
    with under_way.one(MINE), under_way.one(MINE):
        assert under_way.count == 2


def test_what_is_refused_by_one_share_counts_in_none() -> None:
    under_way = room(9)
    all_users = Share(("users",), 3, "USERS")
    with under_way.one(MINE, all_users), under_way.one(MINE, all_users):
        for shares in ((MINE, all_users), (all_users, MINE)):
            with pytest.raises(OverloadedError, match="MAX_PER_USER"), under_way.one(*shares):
                pytest.fail("there was no room")
        with under_way.one(YOURS, all_users):
            assert under_way.count == 3


def test_a_failure_gives_the_room_back() -> None:
    under_way = room(1)
    for _ in range(2):
        with pytest.raises(LookupError), under_way.one(MINE):
            raise LookupError
    assert under_way.count == 0


def test_refusals_are_logged_now_and_then_with_their_setting() -> None:
    clock = FakeClock()
    under_way = room(3, clock)

    def refused() -> None:
        with pytest.raises(OverloadedError), under_way.one(MINE):
            pytest.fail("there was no room")

    with structlog.testing.capture_logs() as logs, under_way.one(MINE), under_way.one(MINE):
        for _ in range(100):
            refused()
        clock.advance(LOG_EVERY_S - 1)
        refused()
        assert [each["setting"] for each in logs] == ["MAX_PER_USER"]
        assert (logs[0]["event"], logs[0]["of"]) == ("no_room", "user me")
        clock.advance(1)
        refused()
        with under_way.one(), pytest.raises(OverloadedError), under_way.one():
            pytest.fail("there was no room")
    assert [each["setting"] for each in logs] == ["MAX_PER_USER", "MAX_PER_USER", "MAX"]
