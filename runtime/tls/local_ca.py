"""A certificate authority of this machine and the gateway's own certificate, kept in the data directory.

Both are made at the first start, with these files, all of mode 0600:

    ca.pem, ca-key.pem            the authority; people tell their clients to trust ca.pem
    server.pem, server-key.pem    the gateway's certificate; made anew whenever that is needed

The authority can sign for `localhost`, the trigger domain, what is below them, and loopback addresses, only
for TLS servers: name constraints and extended key usage, which OpenSSL (curl, Node.js, Python) and GnuTLS
enforce for roots too. Whoever steals its key therefore cannot pass for another site.

A pair is replaced in the order: old certificate away, new key, new certificate. A certificate that is there
hence belongs to the key beside it, whenever the program was killed; when it does not, the files are damaged.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from runtime.ports import Clock
from runtime.sealing import write_private_file
from runtime.tls.certificates import CertificateAndKey, alternative_names, ascii_name, key_to_pem

RENEW_BEFORE = timedelta(days=30)
CA_LIFE = timedelta(days=3650)
SERVER_LIFE = timedelta(days=397) - timedelta(seconds=1)
"""What the strictest clients accept; the first and the last second count."""
_BACKDATED = timedelta(days=1)
"""The clocks of a virtual machine and its host, or of a phone, may differ."""

_LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

_log = structlog.get_logger(__name__)


class LocalCaError(Exception):
    """The certificate files cannot be used or made; the text names the file and says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalNames:
    """What the gateway's own certificate stands for."""

    trigger_domain: str
    dns: frozenset[str]
    ips: frozenset[IPv4Address | IPv6Address]


def local_names(trigger_domain: str, addresses: Iterable[str] = ()) -> LocalNames:
    """The names for a trigger domain, and those of `addresses` (host:port or URL) that are of this machine.

    Other hosts are left out: a certificate for them comes from an authority that their clients know.
    Raises LocalCaError when the trigger domain is no host name."""
    try:
        domain = ascii_name(trigger_domain)
    except ValueError as error:
        raise LocalCaError(f"YUNHAN_TRIGGER_DOMAIN: {error}") from None
    dns = {"localhost", domain, f"*.{domain}"}
    ips: set[IPv4Address | IPv6Address] = {IPv4Address("127.0.0.1"), IPv6Address("::1")}
    for address in addresses:
        host = _host_of(address)
        if isinstance(host, str):
            dns |= {host} if _within(host, "localhost") else set()
        elif host is not None:
            ips |= {host} if host.is_loopback else set()
    return LocalNames(trigger_domain=domain, dns=frozenset(dns), ips=frozenset(ips))


def _host_of(address: str) -> IPv4Address | IPv6Address | str | None:
    """None when there is none that a certificate could name: the listener says what is wrong with it."""
    try:
        host = urlsplit(address if "://" in address else f"//{address}").hostname or ""
        try:
            return ip_address(host)
        except ValueError:
            return ascii_name(host)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class LocalCa:
    """The files of one folder. One program at a time (the owner of the data directory), one thread."""

    def __init__(self, folder: Path, names: LocalNames, clock: Clock) -> None:
        self._folder = folder
        self._names = names
        self._clock = clock
        self.ca_path = folder / "ca.pem"
        self._server_path = folder / "server.pem"

    def server_certificate(self) -> CertificateAndKey:
        """The gateway's own certificate. Made or renewed where that is needed, the authority too.

        Replaced are certificates that expire within RENEW_BEFORE or do not stand for the wanted names.
        A replaced authority has to be trusted anew; the log warns. Blocks on the disk. Idempotent.
        Raises LocalCaError."""
        now = datetime.fromtimestamp(self._clock.now_ms() // 1000, UTC)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for draft in self._folder.glob(".*.pem.*"):
                draft.unlink(missing_ok=True)  # left by a program that was killed
            authority = self._authority(now)
            server = self._server(authority, now)
        except OSError as error:
            raise LocalCaError(
                f"{error.filename or self._folder} cannot be used: {error.strerror}"
            ) from error
        return CertificateAndKey(
            chain_pem=server.certificate.public_bytes(Encoding.PEM), key_pem=key_to_pem(server.key)
        )

    def _authority(self, now: datetime) -> _Pair:
        advice = "delete both; a new authority is made, which clients have to trust anew"
        pair = _read(self.ca_path, advice)
        if pair:
            reason = self._why_replace_authority(pair.certificate, now)
            if reason is None:
                return pair
            _log.warning("local_ca_replaced", path=str(self.ca_path), reason=reason)
        pair = _make_authority(self._names, now)
        _write(self.ca_path, pair)
        _log.info("local_ca_made", path=str(self.ca_path))
        return pair

    def _why_replace_authority(self, certificate: x509.Certificate, now: datetime) -> str | None:
        permitted = _permitted_domains(certificate)
        if permitted is None:
            raise LocalCaError(
                f"{self.ca_path} is no authority that Yunhan made (it has no name constraints);"
                " move it and its key elsewhere"
            )
        if now < certificate.not_valid_before_utc:
            # Not replaced: that would cost the trust of every client when only the clock is wrong now.
            raise LocalCaError(
                f"{self.ca_path} is valid only from {certificate.not_valid_before_utc}, the clock says"
                f" {now}; correct the clock, or delete it and {_key_path(self.ca_path).name}"
            )
        if not any(_within(self._names.trigger_domain, domain) for domain in permitted):
            return f"it may not sign for {self._names.trigger_domain}"
        return _out_of_time(certificate, now)

    def _server(self, authority: _Pair, now: datetime) -> _Pair:
        pair = _read(self._server_path, "delete both; they are made anew")
        reason: str | None = "there was none"
        if pair:
            reason = self._why_replace_server(pair.certificate, authority.certificate, now)
            if reason is None:
                return pair
        pair = _make_server(self._names, authority, now)
        _write(self._server_path, pair)
        _log.info(
            "server_certificate_made",
            reason=reason,
            names=[str(name.value) for name in _general_names(self._names)],
            not_after=pair.certificate.not_valid_after_utc.isoformat(),
        )
        return pair

    def _why_replace_server(
        self, certificate: x509.Certificate, authority: x509.Certificate, now: datetime
    ) -> str | None:
        if not _signed_by(certificate, authority):
            return "the authority is new"
        if set(alternative_names(certificate)) != set(_general_names(self._names)):
            return "the names changed"
        return _out_of_time(certificate, now)


def how_to_trust(ca_path: Path) -> list[tuple[str, str]]:
    """Pairs of platform and command, or advice where no command exists, for doctor and README."""
    path = shlex.quote(str(ca_path))
    debian_path = "/usr/local/share/ca-certificates/yunhan-local-ca.crt"
    keychain = "~/Library/Keychains/login.keychain-db"
    wechat = "详情 > 本地设置 > 不校验合法域名"  # as the tool's menus say
    return [
        (
            "Debian, Ubuntu",
            f"sudo install -m 644 {path} {debian_path} && sudo update-ca-certificates",
        ),
        ("Fedora, RHEL", f"sudo trust anchor --store {path}"),
        ("macOS", f"security add-trusted-cert -r trustRoot -p ssl -k {keychain} {path}"),
        ("Windows", f'certutil -user -addstore Root "{ca_path}"'),
        ("Node.js", f"export NODE_EXTRA_CA_CERTS={path}"),
        ("curl", f"curl --cacert {path} https://..."),
        ("Python", f"ssl.create_default_context(cafile={str(ca_path)!r})"),
        (
            "mini program developer tools",
            f"switch off the check of certificates (WeChat: {wechat}); phones need a public one",
        ),
    ]


# --- what a pair is good for ------------------------------------------------------------------


def _out_of_time(certificate: x509.Certificate, now: datetime) -> str | None:
    """Why it has to be replaced now; None when it need not."""
    if now < certificate.not_valid_before_utc:
        return f"it is valid only from {certificate.not_valid_before_utc}"
    if now > certificate.not_valid_after_utc - RENEW_BEFORE:
        return f"it expires at {certificate.not_valid_after_utc}"
    return None


def _signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _permitted_domains(authority: x509.Certificate) -> list[str] | None:
    try:
        constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return None
    permitted = constraints.permitted_subtrees or []
    return [name.value for name in permitted if isinstance(name, x509.DNSName)]


def _within(name: str, domain: str) -> bool:
    return name == domain or name.endswith(f".{domain}")


def _general_names(names: LocalNames) -> list[x509.GeneralName]:
    return [
        *(x509.DNSName(name) for name in sorted(names.dns)),
        *(x509.IPAddress(ip) for ip in sorted(names.ips, key=str)),
    ]


# --- making -----------------------------------------------------------------------------------


def _make_authority(names: LocalNames, now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    # Its own name: clients that trust an older authority of ours must not take the one for the other.
    subject = _subject(f"Yunhan local CA {identifier.digest.hex()[:8]}")
    domains = {"localhost"}  # a DNS constraint includes everything below it (RFC 5280, 4.2.1.10)
    if not _within(names.trigger_domain, "localhost"):
        domains.add(names.trigger_domain)
    permitted: Sequence[x509.GeneralName] = [
        *(x509.DNSName(domain) for domain in sorted(domains)),
        *(x509.IPAddress(network) for network in _LOOPBACK),
    ]
    certificate = (
        _builder(subject, subject, key, now, now - _BACKDATED + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(
            x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )
    return _Pair(certificate=certificate, key=key)


def _make_server(names: LocalNames, authority: _Pair, now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate
    not_after = min(now - _BACKDATED + SERVER_LIFE, issuer.not_valid_after_utc)
    certificate = (
        _builder(_subject("Yunhan local server"), issuer.subject, key, now, not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
        .sign(authority.key, hashes.SHA256())
    )
    return _Pair(certificate=certificate, key=key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    not_after: datetime,
) -> x509.CertificateBuilder:
    public_key = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


# --- files ------------------------------------------------------------------------------------


def _key_path(certificate_path: Path) -> Path:
    return certificate_path.with_name(f"{certificate_path.stem}-key.pem")


def _read(certificate_path: Path, advice: str) -> _Pair | None:
    """None when the certificate is not there, whether or not a key is."""
    key_path = _key_path(certificate_path)
    both = f"{certificate_path} and {key_path.name}: {advice}"
    try:
        certificate_pem = certificate_path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        key_pem = key_path.read_bytes()
    except FileNotFoundError:
        raise LocalCaError(f"{key_path} is missing; {both}") from None
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        certificate.extensions  # noqa: B018 - parsed when first asked for
        public_key = certificate.public_key()
    except (ValueError, x509.DuplicateExtension, UnsupportedAlgorithm):
        raise LocalCaError(f"{certificate_path} is damaged; {both}") from None
    try:
        key = load_pem_private_key(key_pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise LocalCaError(f"{key_path} is damaged; {both}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != public_key:
        raise LocalCaError(f"{key_path} is not the key of {certificate_path.name}; {both}")
    if key_path.stat().st_mode & 0o077:
        _log.warning("private_key_was_readable_by_others", path=str(key_path))
        key_path.chmod(0o600)
    return _Pair(certificate=certificate, key=key)


def _write(certificate_path: Path, pair: _Pair) -> None:
    """In the order that the module's text gives."""
    folder = certificate_path.parent
    certificate_path.unlink(missing_ok=True)
    _sync(folder)
    write_private_file(_key_path(certificate_path), key_to_pem(pair.key))
    _sync(folder)
    write_private_file(certificate_path, pair.certificate.public_bytes(Encoding.PEM))
    _sync(folder)


def _sync(folder: Path) -> None:
    """Renames and removals before this are on the disk before those after it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
