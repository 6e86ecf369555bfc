"""The local authority: what it makes, when it makes it anew, how it is trusted."""

from __future__ import annotations

import ipaddress
import os
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import oid
from structlog.testing import capture_logs

from runtime.tls.local_ca import (
    CA_LIFE,
    RENEW_BEFORE,
    SERVER_LIFE,
    LocalCaError,
    how_to_trust,
    local_names,
)
from tests.unit.tls.local_ca_support import DAY_S, FILES, Place, events, names_of

# --- what is made -----------------------------------------------------------------------------


def test_first_start_makes_four_private_files(place: Place) -> None:
    old = os.umask(0)
    try:
        place.start()
    finally:
        os.umask(old)
    assert sorted(place.contents()) == list(FILES)
    for name in FILES:
        assert stat.S_IMODE((place.folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700


def test_what_is_served_is_what_is_stored(place: Place) -> None:
    served = place.start()
    assert served.chain_pem == (place.folder / "server.pem").read_bytes()
    assert served.key_pem == (place.folder / "server-key.pem").read_bytes()


def test_the_next_start_changes_nothing(place: Place) -> None:
    first, files = place.start(), place.contents()
    with capture_logs() as logs:
        assert place.start() == first
    assert place.contents() == files
    assert logs == []


def test_authority_is_bound_to_this_machine(place: Place) -> None:
    place.start("fn.example.test")
    authority = place.certificate("ca.pem")
    extensions = authority.extensions
    constraints = extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert [str(name.value) for name in constraints.value.permitted_subtrees or []] == [
        "fn.example.test",
        "localhost",
        "127.0.0.0/8",
        "::1/128",
    ]
    basic = extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical
    assert (basic.value.ca, basic.value.path_length) == (True, 0)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert not usage.value.digital_signature
    assert authority.not_valid_after_utc - authority.not_valid_before_utc == CA_LIFE


def test_server_certificate_has_what_clients_look_for(place: Place) -> None:
    place.start()
    authority, server = place.certificate("ca.pem"), place.certificate("server.pem")
    server.verify_directly_issued_by(authority)
    extensions = server.extensions
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [oid.ExtendedKeyUsageOID.SERVER_AUTH]
    issuer_key = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    authority_key = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert issuer_key.key_identifier == authority_key.digest
    assert extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    lives = server.not_valid_after_utc - server.not_valid_before_utc
    assert lives == SERVER_LIFE < timedelta(days=397)
    assert server.not_valid_before_utc <= place.now - timedelta(hours=12)


def test_two_installations_have_nothing_in_common(tmp_path: Path) -> None:
    places = [Place(tmp_path / name) for name in "ab"]
    for place in places:
        place.start()
    for name in ("ca.pem", "server.pem"):
        one, other = (place.certificate(name) for place in places)
        assert one.serial_number != other.serial_number
        assert one.public_key() != other.public_key()
    assert places[0].certificate("ca.pem").subject != places[1].certificate("ca.pem").subject


# --- names ------------------------------------------------------------------------------------


def test_names_of_a_default_installation(place: Place) -> None:
    assert names_of(place.start()) == {
        "localhost",
        "fn.localhost",
        "*.fn.localhost",
        "127.0.0.1",
        "::1",
    }


@pytest.mark.parametrize(
    ("address", "added"),
    [
        ("127.0.0.1:8743", set()),
        ("127.0.0.2:8743", {"127.0.0.2"}),
        ("[::1]:8743", set()),
        ("yunhan.localhost:8743", {"yunhan.localhost"}),
        ("https://Dev.Localhost:8743/x", {"dev.localhost"}),
        ("https://127.3.2.1", {"127.3.2.1"}),
        ("0.0.0.0:8743", set()),
        ("[::]:8743", set()),
        ("192.168.1.5:8743", set()),
        ("https://cloud.example.com", set()),
        ("notlocalhost:1", set()),
        ("a..localhost:1", set()),
        ("[::1:8743", set()),
        (":8743", set()),
        ("", set()),
    ],
)
def test_addresses_of_this_machine_are_added(address: str, added: set[str]) -> None:
    base, with_it = local_names("fn.localhost"), local_names("fn.localhost", [address])
    assert with_it.dns | {str(ip) for ip in with_it.ips} == (
        base.dns | {str(ip) for ip in base.ips} | added
    )


@pytest.mark.parametrize("domain", ["", "a b", "*.fn", "..", "fn.localhost:8743"])
def test_a_bad_trigger_domain_is_named(domain: str) -> None:
    with pytest.raises(LocalCaError, match="YUNHAN_TRIGGER_DOMAIN"):
        local_names(domain)


def test_trigger_domain_may_be_written_in_several_ways() -> None:
    assert local_names("FN.Localhost.") == local_names("fn.localhost")
    assert "*.xn--fsqu00a.test" in local_names("例子.test").dns


# --- renewal ----------------------------------------------------------------------------------


def test_server_certificate_is_renewed_a_month_before_its_end(place: Place) -> None:
    first = place.start()
    end = place.certificate("server.pem").not_valid_after_utc
    place.clock.advance((end - RENEW_BEFORE - place.now).total_seconds())
    assert place.start() == first
    place.clock.advance(1)
    with capture_logs() as logs:
        second = place.start()
    assert second != first
    assert second.key_pem != first.key_pem
    assert events(logs) == ["server_certificate_made"]
    assert place.certificate("server.pem").not_valid_after_utc > end + timedelta(days=300)


def test_renewal_leaves_the_authority_alone(place: Place) -> None:
    place.start()
    authority = place.contents()["ca.pem"]
    for _year in range(9):
        place.clock.advance(365 * DAY_S)
        place.start()
    assert place.contents()["ca.pem"] == authority


def test_authority_is_replaced_a_month_before_its_end_with_a_warning(place: Place) -> None:
    place.start()
    authority = place.certificate("ca.pem")
    end = authority.not_valid_after_utc
    place.clock.advance((end - RENEW_BEFORE - place.now).total_seconds())
    place.start()
    assert place.certificate("ca.pem") == authority
    assert place.certificate("server.pem").not_valid_after_utc == end
    place.clock.advance(1)
    with capture_logs() as logs:
        place.start()
    assert events(logs) == ["local_ca_replaced", "local_ca_made", "server_certificate_made"]
    assert logs[0]["log_level"] == "warning"
    assert place.certificate("ca.pem").subject != authority.subject
    place.certificate("server.pem").verify_directly_issued_by(place.certificate("ca.pem"))


def test_a_clock_before_the_authority_costs_no_trust(place: Place) -> None:
    place.start()
    before = place.contents()
    place.clock.advance(-10 * DAY_S)
    with pytest.raises(LocalCaError, match="correct the clock, or delete"):
        place.start()
    place.clock.advance(10 * DAY_S)
    place.start()
    assert place.contents() == before


def test_a_server_certificate_of_the_future_is_replaced(place: Place) -> None:
    place.start()
    (place.folder / "server.pem").unlink()
    place.clock.advance(100 * DAY_S)
    place.start()
    place.clock.advance(-100 * DAY_S)
    place.start()
    assert place.certificate("server.pem").not_valid_before_utc < place.now


def test_new_names_change_the_server_certificate_only(place: Place) -> None:
    place.start()
    before = place.contents()
    assert "dev.localhost" in names_of(place.start("fn.localhost", "dev.localhost:8743"))
    assert "dev.localhost" not in names_of(place.start())
    assert names_of(place.start("cloud.localhost")) >= {"cloud.localhost", "*.cloud.localhost"}
    assert place.contents()["ca.pem"] == before["ca.pem"]


def test_another_trigger_domain_needs_another_authority(place: Place) -> None:
    place.start()
    with capture_logs() as logs:
        place.start("fn.example.test")
    assert "fn.example.test" in str(logs[0]["reason"])
    authority = place.contents()["ca.pem"]
    place.start("below.fn.example.test")
    place.start("fn.localhost")
    assert place.contents()["ca.pem"] == authority


# --- trust ------------------------------------------------------------------------------------


def test_how_to_trust_names_the_file_for_every_platform() -> None:
    path = Path("/home/some body/.yunhan/tls/ca.pem")
    ways = dict(how_to_trust(path))
    assert ways["Node.js"] == f"export NODE_EXTRA_CA_CERTS='{path}'"
    assert ways["curl"].startswith(f"curl --cacert '{path}'")
    for platform in ("Debian, Ubuntu", "macOS", "Windows"):
        assert str(path) in ways[platform]
    assert "WeChat" in ways["mini program developer tools"]


def test_addresses_compare_as_numbers() -> None:
    assert local_names("fn.localhost", ["[0:0::1]:8743"]).ips == {
        ipaddress.ip_address("::1"),
        ipaddress.ip_address("127.0.0.1"),
    }
