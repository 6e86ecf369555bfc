"""The mini program SDK's signature of `/client` bodies: HMAC-MD5 (spec: client protocol §2)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping


def string_to_sign(body: Mapping[str, object]) -> bytes:
    """`name=value` of all fields that are a non-empty text or a number, sorted, joined with `&`.

    More than the six fields that the official SDK signs: uniCloud signs every field that it sends, and a
    field that nobody signed must not get in. Texts count as received, byte for byte. The server SDK's
    RSA signature is over the same bytes (spec: server protocol §2).
    """
    fields = []
    for name in sorted(body):
        text = _signed_text(body[name])
        if text:
            fields.append(f"{name}={text}")
    return "&".join(fields).encode("utf-8", "surrogatepass")


def sign(body: Mapping[str, object], secret: bytes) -> str:
    """32 hex digits in lower case. `secret` is the client secret's text, not its base64 value."""
    return hmac.digest(secret, string_to_sign(body), hashlib.md5).hex()


def verify(body: Mapping[str, object], signature: str, secret: bytes) -> bool:
    """Whether `signature` was made with `secret` over exactly these fields; in constant time."""
    return hmac.compare_digest(sign(body, secret).encode(), signature.encode("utf-8", "replace"))


def _signed_text(value: object) -> str:
    """Empty for what JavaScript calls falsy and for what is neither text nor number."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # JavaScript has no 1.0
    return str(value)
