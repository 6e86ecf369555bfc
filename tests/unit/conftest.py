"""Stand-ins that several files of unit tests use."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.sandbox_bench import Bench, benches
from tests.unit.cli_support import FakeManagement, Shell, serving, two_spaces


@pytest.fixture
def fake() -> Iterator[FakeManagement]:
    """A management API with two spaces and a function."""
    with serving(FakeManagement()) as fake:
        fake.answers |= two_spaces()
        yield fake


@pytest.fixture
def shell(fake: FakeManagement, tmp_path: Path) -> Shell:
    """The command line beside a running program, which is `fake`."""
    shell = Shell(tmp_path / "data")
    shell.announce(fake.endpoint)
    return shell


@pytest.fixture
async def make_bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """Makes benches for sandboxes."""
    async with benches(tmp_path_factory.mktemp("b")) as make_bench:
        yield make_bench


@pytest.fixture
async def bench(make_bench: Any) -> Bench:
    made: Bench = make_bench()
    return made
