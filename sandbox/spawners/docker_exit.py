"""How a container's end, as the engine tells it, becomes an `Exit`. Pure."""

from __future__ import annotations

import signal

from sandbox.handle import Exit

# The engine and every shell say 128 + n for "ended by signal n".
_SIGNALLED = 128
_SIGNAL_MAX = 64

KILLED_BY_US = Exit(signal=signal.SIGKILL)


def exit_of(code: int, *, oom_killed: bool, output: bytes) -> Exit:
    """`code` is the container's exit code, `oom_killed` what the engine says of its memory limit.

    The engine's flag is also set when only a child died: it decides for a SIGKILL alone. A
    process that itself exits with 128 + n cannot be told from one that was ended by signal n.
    """
    number = code - _SIGNALLED
    if not 0 < number <= _SIGNAL_MAX:
        return Exit(code=code, output=output)
    oom = oom_killed and number == signal.SIGKILL
    return Exit(signal=number, oom=oom, output=output)


def lost_exit(reason: str) -> Exit:
    """It ended through nothing that the function did; `reason` as in "the engine was restarted"."""
    return Exit(signal=signal.SIGKILL, lost=reason)
