"""What an invocation cost, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def bill_facts(bill: Mapping[str, Any]) -> list[str]:
    """For people: only what is known, and of the network and the services only what was used."""
    facts = [
        f"{text} {bill[key]:.0f} {unit}"
        for key, text, unit in (
            ("runMs", "ran", "ms"),
            ("queueMs", "queued", "ms"),
            ("startMs", "started in", "ms"),
            ("loadMs", "of it loading", "ms"),
            ("cpuMs", "cpu", "ms"),
            ("peakMemoryMb", "memory", "MB"),
        )
        if bill.get(key) is not None
    ]
    facts += [
        _counted(bill[key], one, more)
        for key, one, more in (
            ("egressConnections", "connection", "connections"),
            ("egressRefused", "connection refused", "connections refused"),
            ("egressBytes", "byte over the network", "bytes over the network"),
        )
        if bill.get(key)
    ]
    calls = bill.get("calls") or {}
    return facts + [
        _counted(count, f"{kind} call", f"{kind} calls") for kind, count in calls.items() if count
    ]


def _counted(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"
