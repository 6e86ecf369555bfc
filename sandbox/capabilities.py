"""What the kernel lets this process do beside its uid (capabilities(7))."""

from __future__ import annotations

from pathlib import Path

_STATUS = Path("/proc/self/status")

NAMES = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_SYS_ADMIN": 21,
    "CAP_SETFCAP": 31,
}
"""Those that a rung of isolation may need."""


def lacking(*names: str, status: str | None = None) -> list[str]:
    """Those of `names` that this process does not have; all where capabilities are unknown. `status` is
    the text of /proc/self/status."""
    try:
        text = _STATUS.read_text(encoding="ascii") if status is None else status
    except OSError:
        return list(names)
    held = next((int(line.split()[1], 16) for line in text.splitlines() if "CapEff:" in line), 0)
    return [name for name in names if not held >> NAMES[name] & 1]
