"""Keys and certificates of platforms as people paste them, read into PEM.

Alipay's tools hand out bare Base64 (PKCS #8 or PKCS #1), its console PEM; on the way through forms line
breaks become spaces, or a backslash and an n. Errors name the parameter and quote nothing.
"""

from __future__ import annotations

import base64
import binascii
import re

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from runtime.errors import InvalidParameterError

KEY_MAX = 8 * 1024
"""Characters of a key: PKCS #8 with 8192 bits is 6400."""
CERTIFICATES_MAX = 32 * 1024
"""Characters of certificates: Alipay's bundle of roots is 6000."""
_RSA_BITS_MIN = 2048
"""RSA2 asks for it."""
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\s]+)-----END \1-----", re.ASCII)
_CERTIFICATE = "CERTIFICATE"


def read_private_key(parameter: str, text: str) -> str:
    """PKCS #8 PEM of an RSA key. Raises InvalidParameterError."""
    der = _der_of_key(parameter, text)
    try:
        key = serialization.load_der_private_key(der, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise _bad(parameter, "is no RSA private key (PKCS #8 or PKCS #1, PEM or bare Base64)")
    _check_size(parameter, key.key_size)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def read_public_key(parameter: str, text: str) -> str:
    """PEM of an RSA key. Raises InvalidParameterError."""
    der = _der_of_key(parameter, text)
    try:
        key = serialization.load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPublicKey):
        raise _bad(parameter, "is no RSA public key (PEM or bare Base64)")
    _check_size(parameter, key.key_size)
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def read_certificate(parameter: str, text: str) -> str:
    """PEM of the first certificate in the text, which has an RSA key. Raises InvalidParameterError."""
    pem = _certificate_blocks(parameter, text)[0]
    if not isinstance(_certificate_key(pem), rsa.RSAPublicKey):
        raise _bad(parameter, "has no certificate with an RSA key")
    return pem


def read_certificates(parameter: str, text: str) -> str:
    """PEM of all certificates in the text; one of them has an RSA key. Raises InvalidParameterError.

    Alipay's bundle has certificates that break rules of DER; they stay as they are."""
    blocks = _certificate_blocks(parameter, text)
    if not any(isinstance(_certificate_key(pem), rsa.RSAPublicKey) for pem in blocks):
        raise _bad(parameter, "has no certificate with an RSA key")
    return "".join(blocks)


def has_key_of(certificate_pem: str, private_pem: str) -> bool:
    """Whether the certificate is of this key; both as they were read here."""
    private = serialization.load_pem_private_key(private_pem.encode(), password=None)
    assert isinstance(private, rsa.RSAPrivateKey)
    return _certificate_key(certificate_pem) == private.public_key()


def _der_of_key(parameter: str, text: str) -> bytes:
    if len(text) > KEY_MAX:
        raise _bad(parameter, f"is longer than {KEY_MAX} characters")
    plain = text.replace("\\n", "\n").strip()
    block = _BLOCK.fullmatch(plain)
    if block and block[1] == _CERTIFICATE:
        raise _bad(parameter, "is a certificate, not a key")
    return _decode(parameter, block[2] if block else plain)


def _certificate_blocks(parameter: str, text: str) -> list[str]:
    if len(text) > CERTIFICATES_MAX:
        raise _bad(parameter, f"is longer than {CERTIFICATES_MAX} characters")
    plain = text.replace("\\n", "\n")
    blocks = [_decode(parameter, found[2]) for found in _BLOCK.finditer(plain)]
    if not blocks or any(found[1] != _CERTIFICATE for found in _BLOCK.finditer(plain)):
        raise _bad(parameter, "is no PEM text of certificates")
    return [_pem(der) for der in blocks]


def _decode(parameter: str, text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise _bad(parameter, "is neither PEM nor Base64") from None


def _pem(der: bytes) -> str:
    lines = re.findall(".{1,64}", base64.b64encode(der).decode())
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


def _certificate_key(pem: str) -> object:
    """None when it cannot be read."""
    try:
        return x509.load_pem_x509_certificate(pem.encode()).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None


def _check_size(parameter: str, bits: int) -> None:
    if bits < _RSA_BITS_MIN:
        raise _bad(parameter, f"has {bits} bits; RSA2 needs {_RSA_BITS_MIN}")


def _bad(parameter: str, what: str) -> InvalidParameterError:
    return InvalidParameterError(parameter, f"{parameter} {what}")
