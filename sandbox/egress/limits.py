"""The bounds on one sandbox's egress."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressLimits:
    """Sizes in bytes, times in seconds."""

    connections_max: int = 64
    """Open connections, those that are being made included; beyond this: 429."""
    over_bound_max: int = 16
    """Connections beyond `connections_max` that are being told so; beyond this they are closed."""
    connecting_max: int = 16
    """Connections being made at a time; further ones wait within `connect_timeout_s`."""
    connects_per_s: float = 200.0
    """Connections accepted per second after a burst of `connects_burst`; further ones wait in the
    socket's backlog. Bounds what a sandbox that connects in a loop costs the worker."""
    connects_burst: int = 200
    """Connections accepted without any wait after a rest: an ordinary function never waits."""
    lookups_max: int = 4
    """Names being looked up at a time; further ones wait within `lookup_timeout_s`."""
    lookup_timeout_s: float = 5.0
    connect_timeout_s: float = 10.0
    """From the request to the connection, the look-up included."""
    attempt_delay_s: float = 0.25
    """A name's next address is tried after this, beside the ones before it (RFC 8305)."""
    addresses_max: int = 8
    """Addresses of one name that are tried at most."""
    idle_timeout_s: float = 300.0
    """Without a byte in either direction a connection is ended."""
    head_max_bytes: int = 1024
    head_timeout_s: float = 5.0
    buffer_bytes: int = 64 * 1024
    """Held for a slow reader, each way of each connection."""
    bytes_max: int | None = None
    """Both ways together over the sandbox's life; None = no bound."""
    refusals_told_max: int = 20
    """Refusals told one by one until `EgressGate.take_untold` is called."""
