"""Signatures of Alipay's open platform (RSA2: SHA256 with RSA, PKCS #1 v1.5), and the serial numbers by which
it tells certificates apart. Pure.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

_RSA_SIGNED = "1.2.840.113549.1.1."
"""Signature algorithms of PKCS #1. Some root certificates have Chinese curves, and do not count."""
_RSA_SIGNED_DER = bytes.fromhex("06092a864886f70d0101")
_PEM = re.compile(
    "-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\\s]+?-----END CERTIFICATE-----", re.ASCII
)
_CERTIFICATES_REMEMBERED = 64


def string_to_sign(parameters: Mapping[str, str]) -> str:
    """`name=value` sorted by name, without `sign` and without what is empty, not encoded."""
    return "&".join(
        f"{name}={parameters[name]}"
        for name in sorted(parameters)
        if name != "sign" and parameters[name]
    )


def sign(parameters: Mapping[str, str], private_key_pem: str) -> str:
    """Base64. Raises ValueError and TypeError for what is no RSA key."""
    # The whole check of a key takes longer than the signature; it was made when the key was saved.
    key = serialization.load_pem_private_key(
        private_key_pem.encode(), password=None, unsafe_skip_rsa_key_validation=True
    )
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("no RSA key")
    text = string_to_sign(parameters).encode()
    return base64.b64encode(key.sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()


def is_signed(text: str, signature: str, public_key: rsa.RSAPublicKey) -> bool:
    """Whether the platform signed this text. It signs what it means: a JSON text that escapes slashes may be
    signed with and without the escapes."""
    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    return any(
        _verifies(each, raw, public_key) for each in dict.fromkeys((text, text.replace("\\/", "/")))
    )


@lru_cache(maxsize=_CERTIFICATES_REMEMBERED)
def public_key(pem: str) -> rsa.RSAPublicKey:
    """Of a PEM public key or certificate. Raises ValueError and TypeError for what is no RSA key."""
    of_certificate = "BEGIN CERTIFICATE" in pem
    key = (
        x509.load_pem_x509_certificate(pem.encode()).public_key()
        if of_certificate
        else serialization.load_pem_public_key(pem.encode())
    )
    if not isinstance(key, rsa.RSAPublicKey):
        raise TypeError("no RSA key")
    return key


@lru_cache(maxsize=_CERTIFICATES_REMEMBERED)
def certificate_sn(pem: str) -> str:
    """MD5 of issuer (RFC 4514) and serial number (decimal) of the first certificate. Raises ValueError."""
    return _sn(x509.load_pem_x509_certificate(pem.encode()))


@lru_cache(maxsize=_CERTIFICATES_REMEMBERED)
def root_certificates_sn(pem: str) -> str:
    """Those of all that are signed with RSA, joined by `_`. Raises ValueError."""
    return "_".join(filter(None, (_root_sn(found[0]) for found in _PEM.finditer(pem))))


def _root_sn(pem: str) -> str:
    """Empty for one that is not signed with RSA. Some of those break rules of DER and cannot be read."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        if _RSA_SIGNED_DER in base64.b64decode("".join(pem.splitlines()[1:-1])):
            raise
        return ""
    signed = certificate.signature_algorithm_oid.dotted_string
    return _sn(certificate) if signed.startswith(_RSA_SIGNED) else ""


def _sn(certificate: x509.Certificate) -> str:
    named = f"{certificate.issuer.rfc4514_string()}{certificate.serial_number}"
    return hashlib.md5(named.encode(), usedforsecurity=False).hexdigest()


def _verifies(text: str, signature: bytes, key: rsa.RSAPublicKey) -> bool:
    try:
        key.verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True
