"""Counts and their differences, told and untold refusals, and the pace of connections."""

from __future__ import annotations

from sandbox.egress.counts import EgressCounts, Refusals, Tally
from sandbox.egress.limits import EgressLimits
from sandbox.pace import Pace


def test_the_difference_of_two_counts() -> None:
    tally = Tally(connections=2, refused=1, failed=3, bytes_up=10, bytes_down=20)
    before = tally.counts()
    tally.connections += 1
    tally.refused += 2
    tally.failed += 3
    tally.bytes_up += 4
    tally.bytes_down += 5

    assert before == EgressCounts(connections=2, refused=1, failed=3, bytes_up=10, bytes_down=20)
    assert tally.counts() - before == EgressCounts(
        connections=1, refused=2, failed=3, bytes_up=4, bytes_down=5
    )


def test_the_first_refusals_are_told_and_the_rest_is_counted() -> None:
    told: list[tuple[str, int | None, str]] = []
    refusals = Refusals(lambda *refusal: told.append(refusal), told_max=2)

    for number in range(5):
        refusals.tell(f"host{number}", number, "why")

    assert told == [("host0", 0, "why"), ("host1", 1, "why")]
    assert refusals.take_untold() == 3
    refusals.tell("again", None, "why")
    assert told[-1] == ("again", None, "why")
    assert refusals.take_untold() == 0


def test_a_burst_is_admitted_and_then_the_pace_holds() -> None:
    pace = Pace(10.0, burst=3, now_s=100.0)

    assert [pace.admit(100.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    wait_s = pace.admit(100.0)
    assert 0.09 < wait_s < 0.11
    assert pace.admit(100.0 + wait_s + 1e-6) == 0.0
    assert pace.admit(100.2 + 1e-6) == 0.0
    assert pace.admit(100.2 + 1e-6) > 0


def test_one_connection_after_the_other_waits_only_beyond_the_burst() -> None:
    """As a function that never keeps a connection, over the default pace and a clock of the test's."""
    limits = EgressLimits()
    pace = Pace(limits.connects_per_s, limits.connects_burst, now_s=0.0)
    now_s = waited_s = 0.0
    waits = []
    for _ in range(1000):
        now_s += 0.001  # what one request takes by itself
        while (wait_s := pace.admit(now_s)) > 0:
            waited_s += wait_s
            now_s += wait_s + 1e-9
        waits.append(waited_s)

    # While 200 are used, those 200 ms earn 40 more, and so on: 250 in all.
    assert waits[248] == 0
    assert waits[251] > 0
    # 1000 = the burst, and then 200 for each second of the whole time.
    assert abs(now_s - (1000 - limits.connects_burst) / limits.connects_per_s) < 0.01


def test_a_function_that_rests_pays_nothing() -> None:
    limits = EgressLimits()
    pace = Pace(limits.connects_per_s, limits.connects_burst, now_s=0.0)

    for call in range(100):  # 20 connections at once in each call, 10 calls in a second
        assert [pace.admit(call / 10) for _ in range(20)] == [0.0] * 20


def test_rest_earns_no_more_than_a_burst() -> None:
    pace = Pace(10.0, burst=2, now_s=0.0)

    assert [pace.admit(1e6) == 0 for _ in range(3)] == [True, True, False]


def test_a_clock_that_goes_back_does_no_harm() -> None:
    pace = Pace(10.0, burst=1, now_s=50.0)

    assert pace.admit(50.0) == 0
    assert pace.admit(40.0) > 0
    assert pace.admit(40.2) == 0
