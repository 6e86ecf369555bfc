"""A signed management request counts once: nonces seen in the window in which it would be accepted.

Kept in this process. Behind several gateways a request could be replayed to another one within the window;
changes are idempotent or conflict when repeated, and calls can be bounded by TLS.
"""

from __future__ import annotations

from collections import OrderedDict

from runtime.errors import CallerError, OverloadedError
from runtime.ports import Clock

NONCE_MAX_CHARACTERS = 128


class NonceWindow:
    """Remembers nonces for `keep_s`, at most `max_nonces` of them."""

    def __init__(self, *, clock: Clock, keep_s: float, max_nonces: int) -> None:
        self._clock = clock
        self._keep_s = keep_s
        self._max_nonces = max_nonces
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()
        """(access key id, nonce) to when it was used; oldest first."""

    def __len__(self) -> int:
        return len(self._seen)

    def use(self, access_key_id: str, nonce: str) -> None:
        """Use up a nonce; call it only for verified requests, so that nobody else can fill the window.

        Raises CallerError (SignatureNonceUsed), OverloadedError when the window is full."""
        now = self._clock.monotonic()
        self._forget(before=now - self._keep_s)
        key = (access_key_id, nonce)
        if key in self._seen:
            raise CallerError(
                "SignatureNonceUsed",
                f"the nonce {nonce} was used already; sign every request with a new one",
            )
        if len(self._seen) >= self._max_nonces:
            raise OverloadedError(
                f"more than {self._max_nonces} management requests in {self._keep_s:g} s"
                " (YUNHAN_MANAGEMENT_NONCES_MAX)"
            )
        self._seen[key] = now

    def _forget(self, *, before: float) -> None:
        while self._seen:
            key, used = next(iter(self._seen.items()))
            if used >= before:
                return
            del self._seen[key]
