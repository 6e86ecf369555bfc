"""The signed form of an upload: the policy of OSS's PostObject with what we have to know (client protocol).

    policy     Base64 of JSON: `expiration`, `conditions` as OSS has them, `grant` with our own members
    Signature  Base64 of HMAC-SHA256 over the policy's Base64 text, byte for byte as it came

Nothing in a policy is believed, or even decoded, before its signature fits.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from runtime.files.paths import file_id_of, path_in_address
from runtime.files.refusals import expired, not_ours, param_invalid

KEY_PURPOSE = "file-policies"
"""What the signing key is derived for (`SecretBox.derive`)."""
ACCESS_KEY_ID = "yunhan-files"
"""Names the installation's own key towards the SDKs, which send it back. No secret, no management key."""
POLICY_MAX = 8 * 1024
"""Characters of a policy: a path of 1023 bytes takes at most half of them."""
_SIGNATURE_MAX = 64
_WHAT = "this upload form"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostPolicy:
    """What a signed form allows: one upload to one path. Times in ms since 1970, sizes in bytes."""

    upload_id: str
    space_id: str
    path: str
    owner_id: str | None
    trusted: bool
    max_bytes: int
    expires_ms: int

    @property
    def file_id(self) -> str:
        """Of the file that it is to be."""
        return file_id_of(self.space_id, self.path)

    @property
    def key(self) -> str:
        """The form's `key`, which is the SDK's `filePath` and the end of its `fileUrl`."""
        return f"{self.space_id}/{path_in_address(self.path)}"


@dataclass(frozen=True, slots=True)
class SignedPolicy:
    """Both fields of the form."""

    policy: str
    signature: str


def sign_policy(key: bytes, policy: PostPolicy) -> SignedPolicy:
    """`policy` as the SDKs send it back."""
    expires = datetime.fromtimestamp(policy.expires_ms // 1000, UTC)
    document = {
        "expiration": f"{expires:%Y-%m-%dT%H:%M:%S}.{policy.expires_ms % 1000:03d}Z",
        "conditions": [
            ["eq", "$key", policy.key],
            ["content-length-range", 0, policy.max_bytes],
        ],
        "grant": {
            "upload": policy.upload_id,
            "space": policy.space_id,
            "path": policy.path,
            "owner": policy.owner_id,
            "trusted": policy.trusted,
            "max": policy.max_bytes,
            "expires": policy.expires_ms,
        },
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    encoded = base64.b64encode(text.encode()).decode()
    return SignedPolicy(encoded, _signature(key, encoded))


def open_policy(key: bytes, fields: Mapping[str, str], *, now_ms: int) -> PostPolicy:
    """The policy of a form's fields (names in lower case), if it holds for them now.

    Raises InvalidParameterError (`ParamInvalid`) when a field is missing, SignatureRefusedError when one
    does not fit or the time is over. Whether it was used before is not known here."""
    for name, spelt in _NEEDED.items():
        if not fields.get(name):
            raise param_invalid(spelt, f"the upload form has no field {spelt}")
    encoded = fields["policy"]
    signature = fields["signature"]
    if len(encoded) > POLICY_MAX or len(signature) > _SIGNATURE_MAX:
        raise not_ours(_WHAT)
    if not _same(_signature(key, encoded), signature):
        raise not_ours(_WHAT)
    policy = _decoded(encoded)
    if fields["key"] != policy.key or fields["ossaccesskeyid"] != ACCESS_KEY_ID:
        raise not_ours(_WHAT)
    if policy.expires_ms <= now_ms:
        raise expired(_WHAT)
    return policy


_NEEDED = {
    "key": "key",
    "policy": "policy",
    "signature": "Signature",
    "ossaccesskeyid": "OSSAccessKeyId",
}


def _decoded(encoded: str) -> PostPolicy:
    """Raises SignatureRefusedError: signed by us, but by a version that wrote something else."""
    try:
        grant = json.loads(base64.b64decode(encoded, validate=True))["grant"]
        return PostPolicy(
            upload_id=_text(grant["upload"]),
            space_id=_text(grant["space"]),
            path=_text(grant["path"]),
            owner_id=None if grant["owner"] is None else _text(grant["owner"]),
            trusted=grant["trusted"] is True,
            max_bytes=_whole(grant["max"]),
            expires_ms=_whole(grant["expires"]),
        )
    except (binascii.Error, ValueError, KeyError, TypeError, RecursionError):
        raise not_ours(_WHAT) from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return value


def _signature(key: bytes, encoded: str) -> str:
    mac = hmac.new(key, encoded.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
    return base64.b64encode(mac).decode()


def _same(expected: str, given: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogatepass"))
