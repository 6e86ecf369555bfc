"""Every test starts from the same ground: no settings in the environment, an unconfigured log."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def clean_ground(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("YUNHAN_")]:
        if not name.startswith("YUNHAN_TEST_"):
            monkeypatch.delenv(name)
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()
