"""What a machine has not: a skip there, a failure where CI=true."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

from tests.harness.rabbitmq import missing_reason

NEEDS_RABBITMQ = pytest.mark.skipif(
    bool(missing_reason()) and os.environ.get("CI") != "true", reason=missing_reason() or "-"
)


def lacks(reason: str) -> NoReturn:
    """End the test that needs it."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
