"""Certificates as tests need them: right ones, and wrong in one way each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from runtime.tls.certificates import CertificateAndKey

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

NOW = datetime(2030, 6, 1, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH

SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Issued:
    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return as_pem(self.key)

    def pair(self, *parents: Issued) -> CertificateAndKey:
        chain = self.pem + "".join(parent.pem for parent in parents)
        return CertificateAndKey(chain_pem=chain.encode(), key_pem=self.key_pem.encode())


def as_pem(key: Key) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def issue(
    *names: str,
    by: Issued | None = None,
    ca: bool = False,
    key: Key | None = None,
    start: datetime = NOW - timedelta(days=1),
    end: datetime = NOW + timedelta(days=90),
    usages: Sequence[x509.ObjectIdentifier] | None = (SERVER_AUTH,),
    common_name: str = "",
) -> Issued:
    """A certificate; signed by itself when `by` is None."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(
                NameOID.COMMON_NAME, common_name or (names[0] if names else "an authority")
            )
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if by:
        issuer_key = by.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
            issuer_key.value
        )
        builder = builder.add_extension(identifier, critical=False)
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    if ca:
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        builder = builder.add_extension(constraints, critical=True)
        builder = builder.add_extension(SIGNS_CERTIFICATES, critical=True)
    elif usages is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    signer = by.key if by else key
    if isinstance(signer, ed25519.Ed25519PrivateKey):
        return Issued(builder.sign(signer, None), key)
    return Issued(builder.sign(signer, hashes.SHA256()), key)


# Signed with SHA-1, which the library reads but does not make any more. All are for api.example.com.
SHA1_ROOT = """\
-----BEGIN CERTIFICATE-----
MIIBhzCCAS+gAwIBAgIUSwnCtc2NM3iJFO5zg1Y8e6LXhm0wCQYHKoZIzj0EATAT
MREwDwYDVQQDDAhvbGQgcm9vdDAgFw0yNjExMjEwNTMzNTZaGA8yMTI2MTAyODA1
MzM1NlowEzERMA8GA1UEAwwIb2xkIHJvb3QwWTATBgcqhkjOPQIBBggqhkjOPQMB
BwNCAASNGuthbODFkTGDKKjXjBWhZSg0BUHRzIeNWlPNOPHj6DrzvimVmAVCmrUc
Pa1krzQgB/eOZsjYlt8SZDJ38Opgo2AwXjAdBgNVHQ4EFgQUj7ZIOoUgxDlHvRlf
Ys9aOy9Db0AwHwYDVR0jBBgwFoAUj7ZIOoUgxDlHvRlfYs9aOy9Db0AwDwYDVR0T
AQH/BAUwAwEB/zALBgNVHQ8EBAMCAgQwCQYHKoZIzj0EAQNHADBEAiAdj6TxXOQW
CKgPI1art4yPw6aQm82dwRuDGsnhZS7mtgIgN1arsdwXGfl/9T/iv0NwvUG/wamV
MLuNPRuqPZoDr3Y=
-----END CERTIFICATE-----
"""
BELOW_SHA1_ROOT = """\
-----BEGIN CERTIFICATE-----
MIIBbzCCARSgAwIBAgIBBTAKBggqhkjOPQQDAjATMREwDwYDVQQDDAhvbGQgcm9v
dDAgFw0yNjExMjEwNTMzNTZaGA8yMTI2MTAyODA1MzM1NlowDDEKMAgGA1UEAwwB
eDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABIl5loXqmYibx67EC9q6VjVlMu+V
UxBLQV9CSSMQppYIhnxkKOXe9/up7YRURyaKInY485KIx9sBG+ZW9Jvxu3WjXjBc
MBoGA1UdEQQTMBGCD2FwaS5leGFtcGxlLmNvbTAdBgNVHQ4EFgQUGVglNlh+yhez
y0wGXGLs08CYvqcwHwYDVR0jBBgwFoAUj7ZIOoUgxDlHvRlfYs9aOy9Db0AwCgYI
KoZIzj0EAwIDSQAwRgIhAMwqyd0vcDMSDaVWNaGcHyTGEFtkeTGsXSWaUZGDA78t
AiEArLJn0n46yRlotIoUhD35cxiKgVgl9F0sFf8Am0CsqCg=
-----END CERTIFICATE-----
"""
SHA1_BELOW_SHA1_ROOT = """\
-----BEGIN CERTIFICATE-----
MIIBbTCCAROgAwIBAgIBBTAJBgcqhkjOPQQBMBMxETAPBgNVBAMMCG9sZCByb290
MCAXDTI2MTEyMTA1MzM1NloYDzIxMjYxMDI4MDUzMzU2WjAMMQowCAYDVQQDDAF4
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEiXmWheqZiJvHrsQL2rpWNWUy75VT
EEtBX0JJIxCmlgiGfGQo5d73+6nthFRHJooidjjzkojH2wEb5lb0m/G7daNeMFww
GgYDVR0RBBMwEYIPYXBpLmV4YW1wbGUuY29tMB0GA1UdDgQWBBQZWCU2WH7KF7PL
TAZcYuzTwJi+pzAfBgNVHSMEGDAWgBSPtkg6hSDEOUe9GV9iz1o7L0NvQDAJBgcq
hkjOPQQBA0kAMEYCIQCcO80CZu7bqh9ie1z4yI02mleIsA/Lkik+OeoBu+40GgIh
AJUehtvKSM7z4h7zqjMjOk2u/JY4PSQ4YFTS5HWuTrPT
-----END CERTIFICATE-----
"""
