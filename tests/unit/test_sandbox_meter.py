"""An attempt's part of what its sandbox uses."""

from __future__ import annotations

import pytest

from sandbox.api import Usage
from sandbox.meter import NO_METER, Measurement, Meter


class Group(Meter):
    def __init__(self) -> None:
        self.cpu: float | None = 1000.0
        self.begun = 0

    def begin(self) -> None:
        self.begun += 1

    def cpu_ms(self) -> float | None:
        return self.cpu

    def peak_mb(self, told: float | None) -> float | None:
        del told
        return 60.0


def clock() -> float:
    return 5.0


@pytest.mark.parametrize(
    ("told", "counted", "billed"),
    [
        (2.0, 1011.0, 2.0),  # the tail of the call before
        (2.0, 1500.0, 500.0),  # children
        (None, 1005.0, 5.0),  # it died, or shared the process
        (2.0, None, 2.0),
        (None, None, None),
        (None, 990.0, 0.0),
    ],
)
def test_processor_time_is_nodes_own_unless_children_used_some(
    told: float | None, counted: float | None, billed: float | None
) -> None:
    group = Group()
    measurement = Measurement(group, clock, alone=True)
    group.cpu = counted
    assert measurement.complete(Usage(run_ms=1.0, cpu_ms=told)).cpu_ms == billed


def test_the_first_of_several_begins() -> None:
    group = Group()
    Measurement(group, clock, alone=True)
    Measurement(group, clock, alone=False)
    assert group.begun == 1


def test_what_the_sandbox_said_stays_where_nothing_is_counted() -> None:
    told = Usage(run_ms=1.5, cpu_ms=2.5, peak_memory_mb=3.5, egress_bytes=4)
    assert Measurement(NO_METER, clock, alone=True).complete(told) == told


def test_the_time_of_one_that_died_is_measured_from_outside() -> None:
    times = iter([5.0, 5.25])
    measurement = Measurement(Group(), lambda: next(times), alone=True)
    assert measurement.complete(Usage()).run_ms == 250.0
