"""A pace that may be exceeded in bursts: a token bucket without a clock of its own. Pure."""

from __future__ import annotations


class Pace:
    """Admits `burst` at once and `per_s` each second after that."""

    def __init__(self, per_s: float, burst: int, now_s: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._tokens = float(burst)
        self._at_s = now_s

    def admit(self, now_s: float) -> float:
        """0 = admitted; otherwise nothing happened, and this many seconds have to pass first."""
        elapsed_s = max(0.0, now_s - self._at_s)
        self._tokens = min(self._burst, self._tokens + elapsed_s * self._per_s)
        self._at_s = now_s
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._per_s
