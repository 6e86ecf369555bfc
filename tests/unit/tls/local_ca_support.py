"""The local authority of one data directory, over several starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from runtime.tls.certificates import CertificateAndKey, certificate_info
from runtime.tls.local_ca import (
    LocalCa,
    local_names,
)
from tests.harness.clock import FakeClock
from tests.unit.tls.tls_support import NOW_MS

FILES = ("ca-key.pem", "ca.pem", "server-key.pem", "server.pem")
DAY_S = 86_400


class Place:
    """One data directory's certificates, over several starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock(NOW_MS)

    def start(self, domain: str = "fn.localhost", *addresses: str) -> CertificateAndKey:
        return LocalCa(self.folder, local_names(domain, addresses), self.clock).server_certificate()

    def contents(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def certificate(self, name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.folder / name).read_bytes())

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.now_ms() / 1000, UTC)


def names_of(pair: CertificateAndKey) -> set[str]:
    return set(certificate_info(pair.chain_pem).names)


def events(logs: Sequence[Mapping[str, object]]) -> list[object]:
    return [entry["event"] for entry in logs]
