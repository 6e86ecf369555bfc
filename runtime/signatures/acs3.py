"""Scheme B of the management API: ACS3-HMAC-SHA256 (spec: management API §2)."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runtime.signatures.rpc_v1 import canonical_query

ALGORITHM = "ACS3-HMAC-SHA256"

REQUIRED_HEADERS = (
    "host",
    "x-acs-action",
    "x-acs-version",
    "x-acs-date",
    "x-acs-content-sha256",
    "x-acs-signature-nonce",
)
"""What a caller must sign, because we act on it."""

_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=(?P<key>[^,\s]+),\s*SignedHeaders=(?P<headers>[^,\s]+),"
    r"\s*Signature=(?P<signature>[0-9a-fA-F]+)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """The parts of an `Authorization` header."""

    access_key_id: str
    signed_headers: tuple[str, ...]
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """What the signature is made over. Header names in lower case, `query` decoded."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


def parse_authorization(header: str) -> Authorization | None:
    """None when the header is not of this scheme or malformed."""
    match = _AUTHORIZATION.fullmatch(header.strip())
    if match is None:
        return None
    return Authorization(
        access_key_id=match["key"],
        signed_headers=tuple(match["headers"].lower().split(";")),
        signature=match["signature"],
    )


def canonical_request(request: SignedRequest, signed_headers: Sequence[str]) -> str:
    """The text whose hash is signed. A listed header that was not sent counts as empty."""
    headers = "".join(
        f"{name}:{request.headers.get(name, '').strip()}\n" for name in signed_headers
    )
    return "\n".join(
        (
            request.method,
            request.path,
            canonical_query(request.query),
            headers,
            ";".join(signed_headers),
            request.headers.get("x-acs-content-sha256", ""),
        )
    )


def sign(request: SignedRequest, signed_headers: Sequence[str], secret: str) -> str:
    """64 hex digits in lower case."""
    canonical = canonical_request(request, signed_headers).encode("utf-8", "surrogateescape")
    message = f"{ALGORITHM}\n{hashlib.sha256(canonical).hexdigest()}"
    return hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()


def unsigned_headers(authorization: Authorization) -> list[str]:
    """Which of the required headers the caller did not sign; must be empty."""
    return [name for name in REQUIRED_HEADERS if name not in authorization.signed_headers]


def verify(request: SignedRequest, authorization: Authorization, secret: str) -> bool:
    """Whether all required headers are signed, the body fits its hash and the signature fits.

    In constant time as far as the secret is concerned.
    """
    if unsigned_headers(authorization):
        return False
    body_hash = hashlib.sha256(request.body).hexdigest()
    if request.headers.get("x-acs-content-sha256", "").lower() != body_hash:
        return False
    expected = sign(request, authorization.signed_headers, secret)
    return hmac.compare_digest(expected.encode(), authorization.signature.lower().encode())
