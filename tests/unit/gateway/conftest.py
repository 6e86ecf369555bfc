"""The loops that a gateway runs under."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from tests.unit.gateway.listening import Bounds, Gateway, OnLoop, listening


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def on_loop(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> OnLoop:
    """Runs a test's body; nothing may reach the loop's exception handler or other libraries' logs."""

    def run(bounds: Bounds, body: Callable[[Gateway], Coroutine[Any, Any, None]]) -> None:
        troubles: list[dict[str, Any]] = []

        async def main() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, what: troubles.append(what))
            async with listening(bounds) as gateway:
                await body(gateway)

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(main())
        assert troubles == []
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

    return run
