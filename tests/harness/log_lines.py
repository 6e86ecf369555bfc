"""The payload of a log frame, as a sandbox writes it."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.api import LogLine
from sandbox.json_text import dump_json


def write_log_lines(lines: Sequence[LogLine]) -> bytes:
    """What `sandbox.log_lines` reads."""
    return dump_json([[line.level.value, line.time_ms, line.text] for line in lines])
