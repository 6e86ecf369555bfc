"""What an invocation cost, from what its lease, its ending and its host know. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runtime.messages import Bill, CallKind
from runtime.ports import HttpTraffic
from sandbox.api import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """The parts of a bill. Milliseconds.

    `load` is what loading the function used, None when it was warm or never loaded. `run` is what its run
    used, None when it never began; `run_ms` is measured from outside, for a run that could not tell.
    `proxied` is what the worker sent for it (`httpProxyClient`)."""

    queue_ms: float
    cold: bool
    start_ms: float
    load: Usage | None
    run: Usage | None
    run_ms: float
    calls: Mapping[CallKind, int]
    proxied: HttpTraffic


def make_bill(spent: Spent) -> Bill:
    """Egress of loading, running and the worker's requests together: of all, or not known."""
    load, run, proxied = spent.load, spent.run, spent.proxied
    ran = load if run is None else run  # a load that failed costs, too
    measured = spent.run_ms if run is None or run.run_ms is None else run.run_ms
    used = [usage for usage in (load, run) if usage is not None]
    return Bill(
        queue_ms=round(spent.queue_ms, 3),
        cold=spent.cold,
        start_ms=round(spent.start_ms, 3),
        load_ms=None if load is None or load.run_ms is None else round(load.run_ms, 3),
        run_ms=round(measured, 3),
        cpu_ms=None if ran is None else ran.cpu_ms,
        peak_memory_mb=None if ran is None else ran.peak_memory_mb,
        egress_connections=_sum([usage.egress_connections for usage in used], proxied.connections),
        egress_refused=_sum([usage.egress_refused for usage in used], proxied.refused),
        egress_bytes=_sum([usage.egress_bytes for usage in used], proxied.bytes_moved),
        calls=dict(spent.calls),
    )


def _sum(counts: list[int | None], proxied: int) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known, proxied) if known and len(known) == len(counts) else None
