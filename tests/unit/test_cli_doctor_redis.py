"""What the doctor makes of Redis's own words about its bounds."""

from __future__ import annotations

import pytest

from runtime.cli.doctor_findings import State
from runtime.cli.doctor_redis import redis_bounds

BOUNDED = {
    "maxmemory": "1073741824",
    "maxmemory-policy": "noeviction",
    "client-output-buffer-limit": "normal 16777216 8388608 5 slave 0 0 0 pubsub 0 0 0",
}


def test_a_bounded_redis_is_well() -> None:
    finding = redis_bounds("Redis at h:1", BOUNDED)
    assert finding.state is State.OK
    assert finding.text == "Redis at h:1 takes connections and bounds its memory"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("maxmemory", "0", "maxmemory is 0"),
        ("maxmemory-policy", "allkeys-lru", "maxmemory-policy is allkeys-lru"),
        (
            "client-output-buffer-limit",
            "slave 268435456 67108864 60 normal 0 8388608 5",
            "client-output-buffer-limit normal is 0",
        ),
    ],
)
def test_each_bound_that_lacks_is_told_with_its_remedy(name: str, value: str, told: str) -> None:
    finding = redis_bounds("Redis at h:1", BOUNDED | {name: value})
    assert finding.state is State.WARNING
    (detail,) = finding.details
    assert detail.startswith(told)
    assert "client-output-buffer-limit normal 16mb 8mb 5" in finding.next_step


def test_what_is_not_told_is_not_taken_for_a_bound() -> None:
    finding = redis_bounds("Redis at h:1", {"maxmemory": "1"})
    assert finding.state is State.OK
    assert "not told: maxmemory-policy, client-output-buffer-limit" in finding.text
