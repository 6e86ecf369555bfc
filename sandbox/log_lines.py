"""The payload of a log frame (node_bootstrap/PROTOCOL.md), as its lines. Pure."""

from __future__ import annotations

from typing import Any

from sandbox.api import LogLevel, LogLine
from sandbox.frames import FrameError
from sandbox.json_text import JsonError, load_json

_TIME_MAX_MS = 2**53 - 1
_LEVELS = {level.value: level for level in LogLevel}


def read_log_lines(payload: bytes, at_most: int) -> tuple[LogLine, ...]:
    """The first `at_most` lines. Raises FrameError for what is not an array of lines; lines beyond
    `at_most` are not looked at."""
    try:
        rows = load_json(payload)
    except JsonError as error:
        raise FrameError("bad_payload", f"log lines are not JSON: {error}") from error
    if type(rows) is not list:
        raise FrameError("bad_payload", "log lines are not an array")
    return tuple([_log_line(row) for row in rows[:at_most]])


def _log_line(row: Any) -> LogLine:
    if type(row) is list and len(row) == 3:
        level, time_ms, text = row
        known = _LEVELS.get(level) if type(level) is str else None
        if (
            known is not None
            and type(time_ms) in (int, float)
            and 0 <= time_ms <= _TIME_MAX_MS
            and type(text) is str
        ):
            return LogLine(level=known, time_ms=int(time_ms), text=text)
    raise FrameError("bad_payload", "a log line is not [level, timeMs, text]")
