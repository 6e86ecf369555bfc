"""Signed addresses of files: GET of a private one, PUT of the management side (spec: management API §5).

Query parameters `Expires` (seconds since 1970), `OSSAccessKeyId`, `Signature` and, for PUT, `UploadId`.
The signature is HMAC-SHA256 over everything that the address allows; parts are told apart by their lengths.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from runtime.files.post_policy import ACCESS_KEY_ID
from runtime.files.refusals import expired, not_ours

KEY_PURPOSE = "file-addresses"
"""What the signing key is derived for (`SecretBox.derive`)."""

_WHAT = "this address"
_EXPIRES_DIGITS = 15
_UPLOAD_ID_MAX = 64


@dataclass(frozen=True, slots=True)
class SignedPut:
    """What a signed PUT address allows. Times in ms since 1970."""

    upload_id: str
    expires_ms: int


class UrlSigner:
    """Makes and checks queries. An address opens one path of one space for one method until it expires."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "UrlSigner(***)"

    def get_query(self, space_id: str, path: str, *, expires_s: int) -> str:
        """For GET and HEAD. Fits every version of the file. `expires_s` in seconds since 1970."""
        signature = self._sign("GET", space_id, path, str(expires_s))
        return _query(expires_s, signature)

    def put_query(
        self, space_id: str, path: str, *, content_type: str, upload_id: str, expires_s: int
    ) -> str:
        """For one PUT with this `Content-Type`."""
        signature = self._sign("PUT", space_id, path, str(expires_s), upload_id, content_type)
        return _query(expires_s, signature, UploadId=upload_id)

    def open_get(self, space_id: str, path: str, query: Mapping[str, str], *, now_ms: int) -> None:
        """Raises SignatureRefusedError when the query does not open this path now."""
        expires = _expires(query)
        self._check(query, "GET", space_id, path, expires)
        _in_time(expires, now_ms)

    def open_put(
        self, space_id: str, path: str, query: Mapping[str, str], content_type: str, *, now_ms: int
    ) -> SignedPut:
        """`content_type` as the request has it. Raises SignatureRefusedError."""
        expires = _expires(query)
        upload_id = query.get("UploadId", "")
        if len(upload_id) > _UPLOAD_ID_MAX:
            raise not_ours(_WHAT)
        self._check(query, "PUT", space_id, path, expires, upload_id, content_type)
        return SignedPut(upload_id, _in_time(expires, now_ms))

    def _check(self, query: Mapping[str, str], *parts: str) -> None:
        given = query.get("Signature", "").encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(self._sign(*parts).encode(), given):
            raise not_ours(_WHAT)

    def _sign(self, *parts: str) -> str:
        mac = hmac.new(self._key, digestmod=hashlib.sha256)
        for part in parts:
            data = part.encode("utf-8", "surrogatepass")
            mac.update(len(data).to_bytes(4, "big") + data)
        return mac.hexdigest()


def is_signed(query: Mapping[str, str]) -> bool:
    """Whether an address claims to be signed."""
    return "Signature" in query


def _query(expires_s: int, signature: str, **more: str) -> str:
    return urlencode(
        {
            "OSSAccessKeyId": ACCESS_KEY_ID,
            "Expires": expires_s,
            **more,
            "Signature": signature,
        }
    )


def _expires(query: Mapping[str, str]) -> str:
    expires = query.get("Expires", "")
    if not (expires.isascii() and expires.isdigit() and len(expires) <= _EXPIRES_DIGITS):
        raise not_ours(_WHAT)
    return expires


def _in_time(expires: str, now_ms: int) -> int:
    expires_ms = int(expires) * 1000
    if expires_ms <= now_ms:
        raise expired(_WHAT)
    return expires_ms
