"""The short form of `make chaos`: acknowledged deployments survive kill -9 of the whole program."""

from __future__ import annotations

import pytest

from tests.chaos.run import run

pytestmark = pytest.mark.e2e


def test_acknowledged_deployments_survive_kills() -> None:
    tally = run(kills=3, deployments=20, calls=100, seed=20)
    assert tally.errors == []
    assert tally.kills == 3
    assert tally.deployments >= 20
    assert tally.calls >= 100
