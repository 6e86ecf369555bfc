"""The server SDK's signature of `/server` bodies: RSA with MD5 (spec: server protocol §2)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from runtime.errors import OursError
from runtime.signatures.sdk_client import string_to_sign

_KEYS_MAX = 256
"""Parsed public keys that are kept; parsing takes longer than verifying with one."""


def verify(body: Mapping[str, object], signature: str, public_key_pem: str) -> bool:
    """Whether `signature` (lower case hex) was made with the private half over exactly these fields.

    False for whatever is no signature. Raises OursError when the stored key is none, and when this machine's
    OpenSSL has no MD5 (FIPS mode): the SDK knows nothing else.
    """
    key = _public_key(public_key_pem)
    try:
        raw = bytes.fromhex(signature)
    except ValueError:
        return False
    if raw.hex() != signature:  # one way to write it, as on `/client`
        return False
    try:
        key.verify(raw, string_to_sign(body), padding.PKCS1v15(), hashes.MD5())  # noqa: S303
    except InvalidSignature:
        return False
    except UnsupportedAlgorithm as error:
        raise OursError(
            "InternalServerError",
            f"/server needs an OpenSSL with MD5, which FIPS mode has not: {error}",
        ) from None
    return True


@lru_cache(maxsize=_KEYS_MAX)
def _public_key(pem: str) -> rsa.RSAPublicKey:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise OursError(
            "InternalServerError", f"the stored public key of a space cannot be read: {error}"
        ) from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise OursError("InternalServerError", "the stored public key of a space is no RSA key")
    return key
