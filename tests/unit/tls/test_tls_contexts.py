"""Which certificate a handshake gets. The handshakes run in memory: no sockets, no loop."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from structlog.testing import capture_logs

from runtime.tls import contexts as contexts_module
from runtime.tls.certificates import CertificateAndKey
from runtime.tls.contexts import TlsContexts, keep_renewed
from runtime.tls.local_ca import LocalCaError
from tests.unit.tls.tls_support import issue

OWN = issue("localhost", common_name="own").pair()
OTHER_OWN = issue("localhost", common_name="other own").pair()


@dataclass
class Table:
    """A lookup that remembers what it was asked."""

    known: dict[str, CertificateAndKey] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __call__(self, host: str) -> CertificateAndKey | None:
        self.asked.append(host)
        return self.known.get(host)


def make(table: Table, contexts_max: int = 8) -> TlsContexts:
    return TlsContexts(OWN, table, contexts_max=contexts_max)


def handshake(
    contexts: TlsContexts, host: str | None, client: ssl.SSLContext | None = None
) -> ssl.SSLObject:
    """The client's side after a whole handshake, its certificate unverified."""
    if client is None:
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.verify_mode = ssl.CERT_NONE
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = client.wrap_bio(down, up, server_hostname=host)
    server_side = contexts.listener_context().wrap_bio(up, down, server_side=True)
    open_ends = [client_side, server_side]
    for _ in range(10):
        for end in list(open_ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            open_ends.remove(end)
        if not open_ends:
            return client_side
    raise AssertionError("no handshake")


def common_name(contexts: TlsContexts, host: str | None) -> str:
    der = handshake(contexts, host).getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).subject.rfc4514_string().removeprefix("CN=")


def test_each_host_gets_its_certificate() -> None:
    table = Table({name: issue(name).pair() for name in ("a.example.com", "b.example.com")})
    contexts = make(table)
    for host in ("a.example.com", "b.example.com", "a.example.com"):
        assert common_name(contexts, host) == host
    assert common_name(contexts, "c.example.com") == "own"
    assert common_name(contexts, "localhost") == "own"


def test_a_client_that_names_no_host_gets_our_own() -> None:
    table = Table()
    assert common_name(make(table), None) == "own"
    assert table.asked == []


def test_hosts_are_looked_up_in_one_spelling() -> None:
    table = Table({"a.example.com": issue("a.example.com").pair()})
    assert common_name(make(table), "A.Example.COM") == "a.example.com"
    assert table.asked == ["a.example.com"]


def test_rsa_and_curves_work_beside_each_other() -> None:
    key = rsa.generate_private_key(65537, 2048)
    table = Table({"rsa.example.com": issue("rsa.example.com", key=key).pair()})
    contexts = make(table)
    assert common_name(contexts, "rsa.example.com") == "rsa.example.com"
    assert common_name(contexts, "localhost") == "own"


def test_the_whole_chain_is_sent() -> None:
    """A client that knows only the root takes it; without the issuer in the chain it cannot."""
    start, end = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    root = issue(ca=True, common_name="root", start=start, end=end)
    middle = issue(ca=True, by=root, common_name="middle", start=start, end=end)
    leaf = issue("a.example.com", by=middle, start=start, end=end)
    table = Table({"a.example.com": leaf.pair(middle)})
    contexts = make(table)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=root.pem)
    assert handshake(contexts, "a.example.com", client).getpeercert()
    table.known["a.example.com"] = leaf.pair()
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(contexts, "a.example.com", client)


def test_a_replaced_certificate_is_served_at_once() -> None:
    table = Table({"a.example.com": issue("a.example.com", common_name="old").pair()})
    contexts = make(table)
    assert common_name(contexts, "a.example.com") == "old"
    table.known["a.example.com"] = issue("a.example.com", common_name="new").pair()
    assert common_name(contexts, "a.example.com") == "new"
    del table.known["a.example.com"]
    assert common_name(contexts, "a.example.com") == "own"


def test_our_own_certificate_is_renewed_in_the_same_context() -> None:
    contexts = make(Table())
    listener = contexts.listener_context()
    contexts.renew(OTHER_OWN)
    assert contexts.listener_context() is listener
    assert common_name(contexts, "localhost") == "other own"
    assert common_name(contexts, None) == "other own"


@pytest.mark.parametrize("host", ["a.example.com", "localhost"])
def test_protocols_are_the_same_for_every_host(host: str) -> None:
    contexts = make(Table({"a.example.com": issue("a.example.com").pair()}))
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    client.set_alpn_protocols(["h2", "http/1.1"])
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        client.minimum_version = client.maximum_version = version
        done = handshake(contexts, host, client)
        assert done.version() == version.name.replace("_", ".")
        assert done.selected_alpn_protocol() == "http/1.1"
    assert contexts.listener_context().minimum_version == ssl.TLSVersion.TLSv1_2


# --- contexts are kept ------------------------------------------------------------------------


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[CertificateAndKey]:
    """The certificates for which a context was made, in order."""
    found: list[CertificateAndKey] = []
    make_context = contexts_module._make_context

    def watched(certificate: CertificateAndKey) -> ssl.SSLContext:
        found.append(certificate)
        return make_context(certificate)

    monkeypatch.setattr(contexts_module, "_make_context", watched)
    return found


def test_a_context_is_made_once(made: list[CertificateAndKey]) -> None:
    shared = issue("a.example.com", "b.example.com").pair()
    contexts = make(Table({"a.example.com": shared, "b.example.com": shared}))
    for host in ("a.example.com", "b.example.com", "a.example.com"):
        common_name(contexts, host)
    assert made == [OWN, shared]


def test_the_longest_unused_context_goes_first(made: list[CertificateAndKey]) -> None:
    table = Table({name: issue(name).pair() for name in "abc"})
    contexts = make(table, contexts_max=2)
    for host in "abacab":
        assert common_name(contexts, host) == host
    assert made[1:] == [table.known[name] for name in "abcb"]


def test_an_unusable_certificate_is_reported_once(made: list[CertificateAndKey]) -> None:
    broken = CertificateAndKey(chain_pem=b"broken", key_pem=b"secret")
    mismatch = CertificateAndKey(chain_pem=OTHER_OWN.chain_pem, key_pem=OWN.key_pem)
    contexts = make(Table({"a.example.com": broken, "b.example.com": mismatch}))
    with capture_logs() as logs:
        for host in ("a.example.com", "b.example.com") * 3:
            assert common_name(contexts, host) == "own"
    assert [(entry["event"], entry["host"]) for entry in logs] == [
        ("certificate_unusable", "a.example.com"),
        ("certificate_unusable", "b.example.com"),
    ]
    assert "secret" not in repr(logs)
    assert len(made) == 3


def test_a_trouble_that_passes_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = make(Table({"a.example.com": OTHER_OWN}))
    make_file = os.memfd_create

    def no_descriptors(name: str) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "memfd_create", no_descriptors)
    with capture_logs() as logs:
        assert common_name(contexts, "a.example.com") == "own"
    assert [entry["event"] for entry in logs] == ["certificate_not_loaded"]
    monkeypatch.setattr(os, "memfd_create", make_file)
    assert common_name(contexts, "a.example.com") != "own"


def test_a_lookup_that_fails_does_not_break_the_handshake() -> None:
    def fail(host: str) -> CertificateAndKey | None:
        raise KeyError(host)

    contexts = TlsContexts(OWN, fail, contexts_max=1)
    with capture_logs() as logs:
        assert common_name(contexts, "a.example.com") == "own"
    assert [entry["event"] for entry in logs] == ["tls_lookup_failed"]


def test_an_unusable_certificate_of_our_own_is_an_error() -> None:
    with pytest.raises(ssl.SSLError):
        TlsContexts(CertificateAndKey(chain_pem=b"broken", key_pem=b""), Table(), contexts_max=1)


# --- keys leave no trace ----------------------------------------------------------------------


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "deleted file"])
def test_no_file_and_no_descriptor_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: bool
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if not in_memory:
        monkeypatch.delattr(os, "memfd_create")
    table = Table({"a.example.com": issue("a.example.com").pair()})
    broken = CertificateAndKey(chain_pem=b"broken", key_pem=b"broken")
    before = descriptors()
    contexts = make(table)
    assert common_name(contexts, "a.example.com") == "a.example.com"
    table.known["a.example.com"] = broken
    assert common_name(contexts, "a.example.com") == "own"
    assert descriptors() == before
    assert list(tmp_path.iterdir()) == []


# --- renewal in the background ----------------------------------------------------------------


async def test_our_own_certificate_is_asked_for_until_cancelled() -> None:
    contexts = make(Table())
    answers: list[CertificateAndKey | Exception] = [OWN, LocalCaError("disk full"), OTHER_OWN]
    loop, served = asyncio.get_running_loop(), asyncio.Event()

    def certificate() -> CertificateAndKey:
        if not answers:
            loop.call_soon_threadsafe(served.set)
            return OTHER_OWN
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with capture_logs() as logs:
        renewing = asyncio.create_task(keep_renewed(contexts, certificate, every_s=0))
        await served.wait()
        renewing.cancel()
        await asyncio.wait({renewing})
    assert renewing.cancelled()
    assert common_name(contexts, "localhost") == "other own"
    assert [(entry["event"], entry["error"]) for entry in logs] == [
        ("server_certificate_not_renewed", "disk full")
    ]
