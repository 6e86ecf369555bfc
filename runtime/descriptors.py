"""How many files and sockets this process may have open (POSIX `RLIMIT_NOFILE`)."""

from __future__ import annotations

import resource

BESIDE_CONNECTIONS = 256
"""Databases, files, logs, the event loop."""
PER_SANDBOX = 11
"""Channel, output, process, egress, figures of its control group, and files while code is unpacked."""


def raise_limit() -> int:
    """Raise the soft limit to the hard one, which every process may. Returns the limit that holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):  # macOS says "unlimited" and takes less
            return soft
    return hard if hard != resource.RLIM_INFINITY else 1 << 30


def room_for_connections(limit: int, *, sandboxes: int) -> int:
    """Connections that leave enough descriptors for everything else; at least 16."""
    return max(16, limit - BESIDE_CONNECTIONS - PER_SANDBOX * sandboxes)
