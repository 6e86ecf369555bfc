from __future__ import annotations

import hashlib
import json
import platform
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runtime.cli import doctor_triggers
from runtime.tls.local_ca import CA_LIFE, LocalCa, how_to_trust, local_names
from tests.unit.cli_support import Shell, free_address

DAY = timedelta(days=1)


class _Clock:
    def __init__(self, moment: datetime) -> None:
        self._moment = moment

    def now_ms(self) -> int:
        return int(self._moment.timestamp() * 1000)

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    resolving_to("127.0.0.1", monkeypatch)
    shell = Shell(tmp_path / "data")
    shell.environ |= {"YUNHAN_HTTP": free_address(), "YUNHAN_HTTPS": free_address()}
    return shell


def resolving_to(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_triggers, "resolve", lambda _host: [address] if address else [])


def finding(shell: Shell, name: str) -> dict[str, Any]:
    [found] = [
        row
        for row in json.loads(shell.run("doctor", "--json").stdout)["findings"]
        if row["name"] == name
    ]
    assert isinstance(found, dict)
    return found


def made_ca(shell: Shell, moment: datetime | None = None) -> Path:
    """As a first start at this moment left it."""
    names = local_names("fn.localhost")
    ca = LocalCa(shell.data_dir / "tls", names, _Clock(moment or datetime.now(UTC)))
    ca.server_certificate()
    return ca.ca_path


@contextmanager
def tls_server(certificates: Path) -> Iterator[str]:
    """Shakes hands once, with the certificate of that folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server-key.pem")

    def shake_hands(listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
            with connection, context.wrap_socket(connection, server_side=True) as wrapped:
                wrapped.recv(1)
        except OSError:
            pass  # a client that refuses, or none at all

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        thread = threading.Thread(target=shake_hands, args=(listener,))
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join()


# --- the HTTPS address --------------------------------------------------------------------------


def test_an_https_address_that_shows_our_certificate_is_ours(shell: Shell) -> None:
    made_ca(shell)
    shell.announce(f"http://{shell.environ['YUNHAN_HTTP']}")
    with tls_server(shell.data_dir / "tls") as address:
        shell.environ["YUNHAN_HTTPS"] = address
        found = finding(shell, "https address")
    assert found["state"] == "ok"
    assert found["text"] == f"{address} is used by our program"


def test_an_https_address_that_shows_another_certificate_is_a_problem(
    shell: Shell, tmp_path: Path
) -> None:
    made_ca(shell)
    shell.announce(f"http://{shell.environ['YUNHAN_HTTP']}")
    made_ca(Shell(tmp_path / "other"))
    with tls_server(tmp_path / "other" / "tls") as address:
        shell.environ["YUNHAN_HTTPS"] = address
        found = finding(shell, "https address")
    assert found["state"] == "problem"
    assert "YUNHAN_HTTPS" in found["next_step"]


def test_an_https_address_that_is_taken_before_the_first_start_is_a_problem(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        shell.environ["YUNHAN_HTTPS"] = f"127.0.0.1:{other.getsockname()[1]}"
        assert finding(shell, "https address")["state"] == "problem"


def test_no_https_needs_no_authority(shell: Shell) -> None:
    shell.environ["YUNHAN_HTTPS"] = ""
    assert finding(shell, "https address")["text"].startswith("none (YUNHAN_HTTPS is empty)")
    assert finding(shell, "local CA")["text"] == "not needed without YUNHAN_HTTPS"


# --- the local authority ------------------------------------------------------------------------


def test_the_authority_and_how_to_trust_it(shell: Shell) -> None:
    path = made_ca(shell)
    found = finding(shell, "local CA")
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(path.read_text())).hexdigest()
    assert found["state"] == "ok"
    assert str(path) in found["text"]
    assert str((datetime.now(UTC) - DAY + CA_LIFE).year) in found["text"]
    assert fingerprint in found["text"]
    assert {"macOS", "Windows", "Node.js", "curl", "Python"} <= found["ways"].keys()
    assert str(path) in found["ways"]["curl"]


def test_people_are_told_what_is_for_their_platform(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_ca(shell)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    told = shell.run("doctor").stdout
    for name in ("macOS", "Node.js", "curl", "Python"):
        assert f"\n           {name}: " in told
    assert "Windows: " not in told
    assert "Debian, Ubuntu: " not in told
    assert "Windows: " in shell.run("doctor", "--verbose").stdout


def test_every_platform_is_one_of_how_to_trust() -> None:
    from runtime.cli.doctor import _PLATFORMS

    assert _PLATFORMS.keys() <= dict(how_to_trust(Path("ca.pem"))).keys()


def test_an_authority_that_expires_soon_is_a_warning(shell: Shell) -> None:
    made_ca(shell, datetime.now(UTC) - CA_LIFE + 20 * DAY)
    found = finding(shell, "local CA")
    assert found["state"] == "warning"
    assert "Start the program anew" in found["next_step"]


def test_a_damaged_authority_is_a_problem(shell: Shell) -> None:
    path = made_ca(shell)
    path.write_text("not a certificate")
    found = finding(shell, "local CA")
    assert found["state"] == "problem"
    assert found["text"] == f"{path}: is no certificate"


# --- names --------------------------------------------------------------------------------------


def test_names_that_do_not_resolve_lead_to_the_path_form(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving_to(None, monkeypatch)
    address = shell.environ["YUNHAN_HTTP"]
    found = finding(shell, "trigger names")
    assert found["state"] == "warning"
    assert found["text"] == "x.fn.localhost does not resolve here"
    assert f"http://{address}/trigger/{{space id}}/http/..." in found["next_step"]
    shell.announce("http://127.0.0.1:1")
    assert "http://127.0.0.1:1/trigger/" in finding(shell, "trigger names")["next_step"]


@pytest.mark.parametrize(
    ("domain", "address", "state"),
    [
        ("fn.localhost", "127.0.0.1", "ok"),
        ("fn.localhost", "::1", "ok"),
        ("fn.localhost", "203.0.113.9", "warning"),
        ("fn.example.com", "203.0.113.9", "ok"),
        ("fn.example.com", None, "warning"),
    ],
)
def test_where_names_lead(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    domain: str,
    address: str | None,
    state: str,
) -> None:
    resolving_to(address, monkeypatch)
    shell.environ["YUNHAN_TRIGGER_DOMAIN"] = domain
    found = finding(shell, "trigger names")
    assert found["state"] == state
    assert ("DNS record" in found["next_step"]) == (address is None)


def test_resolve_gives_each_address_once() -> None:
    assert doctor_triggers.resolve("127.0.0.1") == ["127.0.0.1"]


def test_a_resolver_that_hangs_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def hang(*_args: Any, **_kwargs: Any) -> list[Any]:
        ended.wait(10)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("203.0.113.9", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(doctor_triggers, "RESOLVE_TIMEOUT_S", 0.01)
    try:
        assert doctor_triggers.resolve("x.fn.localhost") == []
    finally:
        ended.set()


@pytest.mark.parametrize(
    ("given", "state", "told"),
    [
        ({}, "ok", "{space id}.fn.localhost"),
        ({"PUBLIC_URL": "http://localhost:8700"}, "ok", ""),
        ({"PUBLIC_URL": "http://127.0.0.1:8700"}, "ok", ""),
        ({"ENV": "production"}, "warning", "although YUNHAN_ENV=production"),
        ({"PUBLIC_URL": "https://api.example.com"}, "warning", "although YUNHAN_PUBLIC_URL="),
        ({"TRIGGER_DOMAIN": "fn.example.com"}, "warning", "certificate of the local CA"),
        ({"TRIGGER_DOMAIN": "fn.example.com", "TRIGGER_PUBLIC_PORT": "443"}, "ok", ""),
        ({"TRIGGER_DOMAIN": "fn.example.com", "HTTPS": ""}, "ok", ""),
        (
            {
                "TRIGGER_DOMAIN": "fn.example.com",
                "TRIGGER_PUBLIC_PORT": "443",
                "PUBLIC_URL": "https://api.example.com",
                "ENV": "production",
            },
            "ok",
            "",
        ),
    ],
)
def test_what_is_told_to_clients(
    shell: Shell, given: dict[str, str], state: str, told: str
) -> None:
    shell.environ |= {f"YUNHAN_{name}": value for name, value in given.items()}
    found = finding(shell, "trigger domain")
    assert found["state"] == state
    assert told in found["text"]
