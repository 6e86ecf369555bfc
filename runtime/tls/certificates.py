"""Whether a supplied certificate chain and private key can serve a custom domain. Pure.

The rules are those of the clients: what they would refuse is refused here, where somebody reads the reason.
Errors are InvalidParameterError with the codes

    InvalidCustomDomainCertificate.   Malformed  ChainOrder  WeakKey  WeakSignature  NotForServers
                                      NotYetValid  Expired  DomainMismatch
    InvalidCustomDomainPrivateKey.    Malformed  Encrypted  WeakKey  Mismatch

Not checked: whether the authority is one that clients trust, and whether a certificate between ours and the
authority's is missing; only clients know what they have.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from runtime.errors import InvalidParameterError

_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What the library raises for a certificate that is damaged somewhere."""

CHAIN_PEM_MAX = 32 * 1024
"""Characters. A chain of four RSA-4096 certificates has 10,000."""
KEY_PEM_MAX = 8 * 1024
"""Characters. An RSA-4096 key has 3,300."""
CHAIN_MAX = 8
"""Certificates in one chain."""
RSA_BITS = range(2048, 4096 + 1)
"""Clients refuse smaller keys; a signature with a larger one holds up the gateway for tens of ms."""
CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})

ServerKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_CERTIFICATE = "CustomDomainCertificate"
_KEY = "CustomDomainPrivateKey"
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NAME_MAX = 253
_WEAK_HASHES = (hashes.MD5, hashes.SHA1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateAndKey:
    """What a TLS server needs for one host name. PEM; the chain begins with the server's certificate."""

    chain_pem: bytes
    key_pem: bytes = field(repr=False)

    @property
    def digest(self) -> str:
        """Tells chains apart; a key needs no part in it, because its certificate names it."""
        return hashlib.sha256(self.chain_pem).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateInfo:
    """What people want to know of a certificate. Times are UTC, `fingerprint` is SHA-256 in hex."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    fingerprint: str


def certificate_info(chain_pem: bytes) -> CertificateInfo:
    """Of the first certificate. Raises ValueError."""
    return _info(x509.load_pem_x509_certificates(chain_pem)[0])


def ascii_name(name: str) -> str:
    """A host name as it is in certificates: lower case, `xn--`, no dot at the end. Raises ValueError."""
    text = name.lower().removesuffix(".")
    if not text.isascii():
        text = text.encode("idna").decode("ascii")
    if len(text) > _NAME_MAX or not all(_LABEL.fullmatch(label) for label in text.split(".")):
        raise ValueError(f"{name[:_NAME_MAX]!r} is no host name")
    return text


def covers(pattern: str, name: str) -> bool:
    """Whether a certificate's name stands for a host name: itself, or `*` for exactly one first label.

    As clients do, a star beside other characters, in a later label or before a single label is nothing."""
    pattern = pattern.lower()
    if not pattern.startswith("*."):
        return pattern == name
    _first, _, rest = name.partition(".")
    return "." in rest and pattern[2:] == rest


def check_certificate(chain: str, key: str, *, domain: str, now_ms: int) -> CertificateAndKey:
    """The chain and key, cleaned of everything else. Takes some milliseconds.

    Raises InvalidParameterError with a code of the module's list for the first rule that is broken."""
    try:
        name = ascii_name(domain)
    except ValueError as error:
        raise InvalidParameterError("CustomDomain", f"CustomDomain: {error}") from None
    try:
        certificates = _parse_chain(chain)
        _check_usable(certificates)
        _check_order(certificates)
        _check_times(certificates, datetime.fromtimestamp(now_ms / 1000, UTC))
        _check_covers(certificates[0], name)
    except _UNREADABLE as error:
        # Parsing is lazy: a damaged extension or public key shows when it is asked for.
        raise _certificate_error("Malformed", f"cannot be read: {error}") from None
    private_key = _parse_key(key)
    if not _belong_together(certificates[0], private_key):
        raise _key_error("Mismatch", "is not the key of the first certificate in the chain")
    return CertificateAndKey(
        chain_pem=b"".join(one.public_bytes(Encoding.PEM) for one in certificates),
        key_pem=key_to_pem(private_key),
    )


def key_to_pem(key: ServerKey) -> bytes:
    """PKCS#8, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


# --- parsing ----------------------------------------------------------------------------------


def _parse_chain(text: str) -> list[x509.Certificate]:
    if len(text) > CHAIN_PEM_MAX:
        raise _certificate_error("Malformed", f"is longer than {CHAIN_PEM_MAX} characters")
    if "PRIVATE KEY-----" in text:
        raise _certificate_error(
            "Malformed", f"contains a private key; that belongs into {_KEY} only"
        )
    certificates = x509.load_pem_x509_certificates(text.encode())
    if len(certificates) > CHAIN_MAX:
        raise _certificate_error("Malformed", f"holds more than {CHAIN_MAX} certificates")
    return certificates


def _parse_key(text: str) -> ServerKey:
    if len(text) > KEY_PEM_MAX:
        raise _key_error("Malformed", f"is longer than {KEY_PEM_MAX} characters")
    try:
        # The check that is left out tests primes for seconds; `_belong_together` tries the key instead.
        key = load_pem_private_key(text.encode(), None, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        raise _key_error(
            "Encrypted", "is encrypted; remove the password: openssl pkey -in KEY"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        # The library's text is left out: it could quote the key.
        raise _key_error("Malformed", "is not a private key in PEM") from None
    if not isinstance(key, ServerKey):
        raise _key_error("WeakKey", "is neither RSA nor an elliptic curve key of the kind ECDSA")
    return key


def _info(certificate: x509.Certificate) -> CertificateInfo:
    return CertificateInfo(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        names=tuple(str(name.value) for name in alternative_names(certificate)),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
    )


def alternative_names(certificate: x509.Certificate) -> list[x509.GeneralName]:
    """All of them. Raises ValueError when the extension is damaged."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return list(extension.value)


# --- rules ------------------------------------------------------------------------------------


def _check_usable(certificates: Sequence[x509.Certificate]) -> None:
    for place, certificate in enumerate(certificates, 1):
        public_key = certificate.public_key()
        if isinstance(public_key, rsa.RSAPublicKey):
            fits = public_key.key_size in RSA_BITS
        else:
            fits = (
                isinstance(public_key, ec.EllipticCurvePublicKey)
                and public_key.curve.name in CURVES
            )
        if not fits:
            raise _certificate_error(
                "WeakKey",
                f"certificate {place} of the chain needs an RSA key of {RSA_BITS[0]} to {RSA_BITS[-1]}"
                " bits or a key on P-256, P-384 or P-521",
            )
        # Nobody checks the signature of an authority under itself.
        itself = place > 1 and certificate.subject == certificate.issuer
        if isinstance(certificate.signature_hash_algorithm, _WEAK_HASHES) and not itself:
            raise _certificate_error(
                "WeakSignature", f"certificate {place} of the chain is signed with MD5 or SHA-1"
            )
    try:
        usage = certificates[0].extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    any_usage = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
    if ExtendedKeyUsageOID.SERVER_AUTH not in usage and any_usage not in usage:
        raise _certificate_error(
            "NotForServers", "its first certificate was not issued for TLS servers (serverAuth)"
        )


def _check_order(certificates: Sequence[x509.Certificate]) -> None:
    for place, (child, parent) in enumerate(pairwise(certificates), 1):
        try:
            child.verify_directly_issued_by(parent)
            signs = _is_authority(parent)
        except (ValueError, TypeError, InvalidSignature):
            signs = False
        if not signs:
            raise _certificate_error(
                "ChainOrder",
                f"certificate {place + 1} did not sign certificate {place}; put the domain's certificate"
                " first and after each one the certificate of its issuer",
            )


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _check_times(certificates: Sequence[x509.Certificate], now: datetime) -> None:
    for place, certificate in enumerate(certificates, 1):
        if now < certificate.not_valid_before_utc:
            raise _certificate_error(
                "NotYetValid",
                f"certificate {place} is valid from {certificate.not_valid_before_utc}",
            )
        if now > certificate.not_valid_after_utc:
            raise _certificate_error(
                "Expired", f"certificate {place} expired at {certificate.not_valid_after_utc}"
            )


def _check_covers(certificate: x509.Certificate, name: str) -> None:
    names = [one.value for one in alternative_names(certificate) if isinstance(one, x509.DNSName)]
    if not any(covers(pattern, name) for pattern in names):
        stands_for = ", ".join(names[:5]) if names else "no host name (subjectAltName)"
        raise _certificate_error("DomainMismatch", f"is for {stands_for}, not for {name}")


def _belong_together(certificate: x509.Certificate, key: ServerKey) -> bool:
    """The key can make what clients verify with the certificate."""
    public_key, probe = certificate.public_key(), b"probe"
    if key.public_key() != public_key:
        return False  # also spares the attempt with a key of any size
    try:
        if isinstance(key, rsa.RSAPrivateKey) and isinstance(public_key, rsa.RSAPublicKey):
            signature = key.sign(probe, padding.PKCS1v15(), hashes.SHA256())
            public_key.verify(signature, probe, padding.PKCS1v15(), hashes.SHA256())
            return True
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(
            public_key, ec.EllipticCurvePublicKey
        ):
            signature = key.sign(probe, ec.ECDSA(hashes.SHA256()))
            public_key.verify(signature, probe, ec.ECDSA(hashes.SHA256()))
            return True
    except (ValueError, InvalidSignature):
        return False
    return False


def _certificate_error(rule: str, text: str) -> InvalidParameterError:
    return InvalidParameterError(
        _CERTIFICATE, f"{_CERTIFICATE}: {text}", code=f"Invalid{_CERTIFICATE}.{rule}"
    )


def _key_error(rule: str, text: str) -> InvalidParameterError:
    return InvalidParameterError(_KEY, f"{_KEY}: {text}", code=f"Invalid{_KEY}.{rule}")
