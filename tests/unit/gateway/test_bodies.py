from __future__ import annotations

import pytest

from runtime.errors import OverloadedError
from runtime.gateway.bodies import BodyBudget


def test_all_bodies_together_are_bounded() -> None:
    budget = BodyBudget(100)
    budget.take(60)
    budget.take(40)
    with pytest.raises(OverloadedError, match="YUNHAN_BODIES_MAX_BYTES"):
        budget.take(1)
    budget.give_back(1 + 40)
    budget.take(40)
    budget.give_back(100)
    assert budget.held == 0
