"""Signed addresses of code packages: HMAC-SHA256 over method, space, deployment and expiry.

Made and verified by ourselves only. An address opens one deployment for one method until it expires.
"""

from __future__ import annotations

import hashlib
import hmac


def sign(key: bytes, method: str, space_id: str, deployment_id: str, expires_s: int) -> str:
    """64 hex digits. `expires_s` in seconds since 1970."""
    message = f"{method}\n{space_id}\n{deployment_id}\n{expires_s}".encode("utf-8", "replace")
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def verify(
    key: bytes,
    method: str,
    space_id: str,
    deployment_id: str,
    expires_s: int,
    *,
    signature: str,
) -> bool:
    """Whether the signature fits, in constant time. Whether it expired is the caller's question."""
    expected = sign(key, method, space_id, deployment_id, expires_s)
    return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))
