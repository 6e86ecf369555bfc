"""Limits of the rungs with walls, where the machine gives less."""

from __future__ import annotations

import resource

import pytest

from sandbox.walled_limits import WalledLimits


@pytest.mark.parametrize(
    ("hard", "allowed"), [(100, 100), (128, 128), (4096, 128), (resource.RLIM_INFINITY, 128)]
)
def test_no_limit_is_above_the_workers_own(
    monkeypatch: pytest.MonkeyPatch, hard: int, allowed: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, hard))
    limits = WalledLimits(pids=128, open_files=128).allowed_here()
    assert (limits.pids, limits.open_files) == (allowed, allowed)


def test_without_control_groups_there_are_fewer_of_what_nobody_counts() -> None:
    limits = WalledLimits().without_groups()
    assert (limits.pids, limits.open_files) == (64, 256)
    assert limits.without_groups() == limits
    few = WalledLimits(pids=64, open_files=100)
    assert few.without_groups() == few
