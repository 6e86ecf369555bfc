"""Counts and their differences, told and untold refusals, and the pace of connections."""

from __future__ import annotations

from sandbox.egress.counts import EgressCounts, Refusals, Tally
from sandbox.egress.pace import Pace


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


def test_rest_earns_no_more_than_a_burst() -> None:
    pace = Pace(10.0, burst=2, now_s=0.0)

    assert [pace.admit(1e6) == 0 for _ in range(3)] == [True, True, False]


def test_a_clock_that_goes_back_does_no_harm() -> None:
    pace = Pace(10.0, burst=1, now_s=50.0)

    assert pace.admit(50.0) == 0
    assert pace.admit(40.0) > 0
    assert pace.admit(40.2) == 0
