"""Identifiers. Random parts come from the operating system; nothing here is secret."""

from __future__ import annotations

import os
import time
import uuid


def new_space_id() -> str:
    """`mp-` + UUID: the uniCloud client picks its protocol by that prefix (management API §5)."""
    return f"mp-{uuid.uuid4()}"


def new_deployment_id() -> str:
    """`dep-` + 24 hex digits."""
    return f"dep-{os.urandom(12).hex()}"


def new_cors_domain_id() -> str:
    """`cors-` + 24 hex digits."""
    return f"cors-{os.urandom(12).hex()}"


def new_request_id() -> str:
    """28 hex digits, the first 12 are the time in ms, so that ids sort by time."""
    return _timed_id(time.time_ns() // 1_000_000)


def new_job_id(now_ms: int | None = None) -> str:
    """`job-` + 28 hex digits, sortable by time; None = the machine's clock."""
    return f"job-{_timed_id(time.time_ns() // 1_000_000 if now_ms is None else now_ms)}"


def _timed_id(now_ms: int) -> str:
    return f"{now_ms:012x}{os.urandom(8).hex()}"


def new_user_id(now_ms: int | None = None) -> str:
    """24 hex digits like the original's; the first 8 are the time in seconds. None = the machine's clock."""
    seconds = int(time.time()) if now_ms is None else now_ms // 1000
    return f"{seconds:08x}{os.urandom(8).hex()}"


def new_management_request_id() -> str:
    """UUID in capitals, as management answers carry it."""
    return str(uuid.uuid4()).upper()
