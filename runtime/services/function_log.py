"""Functions' log lines as events of the program's own log, one event a line."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from runtime.messages import InvocationRecord
from sandbox.api import LogLevel

_log = structlog.get_logger(__name__)

_LINES_BETWEEN_YIELDS = 50

_METHODS = {
    LogLevel.DEBUG: "debug",
    LogLevel.INFO: "info",
    LogLevel.WARN: "warning",
    LogLevel.ERROR: "error",
}


async def ship(records: Iterable[InvocationRecord]) -> None:
    """Log every line of these records. Lets other tasks run in between: there may be many."""
    shipped = 0
    for record in records:
        if not record.lines:
            continue
        log = _log.bind(
            space=record.space_id,
            function=record.function,
            deployment=record.deployment_id,
            request_id=record.request_id,
        )
        for line in record.lines:
            getattr(log, _METHODS[line.level])("function_log", text=line.text, time_ms=line.time_ms)
            shipped += 1
            if shipped % _LINES_BETWEEN_YIELDS == 0:
                await asyncio.sleep(0)
