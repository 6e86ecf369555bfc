from __future__ import annotations

import resource

import pytest

from runtime.descriptors import raise_limit, room_for_connections


def test_the_soft_limit_is_raised_to_the_hard_one(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(1024, 8192)]
    monkeypatch.setattr(resource, "getrlimit", lambda _which: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _which, wanted: limits.append(wanted))
    assert raise_limit() == 8192
    assert limits[1:] == [(8192, 8192)]
    assert raise_limit() == 8192
    assert len(limits) == 2


def test_a_refusal_leaves_the_limit_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_which: int, _wanted: tuple[int, int]) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _which: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_limit() == 256


def test_connections_leave_room_for_everything_else() -> None:
    assert room_for_connections(1024, sandboxes=64) == 64
    assert room_for_connections(100, sandboxes=64) == 16
