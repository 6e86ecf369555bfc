"""Public names of files and uploads."""

from __future__ import annotations

import pytest

from runtime.files.signed_urls import UrlSigner
from runtime.services.file_addresses import FileAddresses
from runtime.settings import Settings, SettingsError, load_settings
from runtime.wiring.files import file_hosts, upload_host
from sandbox.api import FileHosts
from tests.harness.clock import FakeClock


def said(settings: dict[str, str]) -> Settings:
    return load_settings({f"YUNHAN_{name.upper()}": value for name, value in settings.items()})


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({}, "localhost:8743/oss"),
        ({"https": "0.0.0.0:9000"}, "localhost:9000/oss"),
        ({"https": "[::1]:9000"}, "localhost:9000/oss"),
        ({"https": "10.0.0.5:9000"}, "10.0.0.5:9000/oss"),
        ({"https": "[fd00::1]:9000"}, "[fd00::1]:9000/oss"),
        ({"https": "dev.example.com:443"}, "dev.example.com:443/oss"),
        ({"https": ""}, "127.0.0.1:8700/oss"),
        ({"files_upload_host": "up.example.com/oss/"}, "up.example.com/oss"),
        ({"public_url": "https://api.example.com/base/"}, "api.example.com/base/oss"),
        ({"public_url": "http://api.example.com"}, "localhost:8743/oss"),
    ],
)
def test_where_apps_reach_files_when_nothing_is_said(settings: dict[str, str], host: str) -> None:
    assert upload_host(said(settings)) == host


def addresses_at(cdn_host: str) -> FileAddresses:
    return FileAddresses(
        upload_host="up.example.com/oss",
        cdn_host=cdn_host,
        endpoint="http://127.0.0.1:8700/",
        urls=UrlSigner(b"k" * 32),
        clock=FakeClock(),
    )


@pytest.mark.parametrize(
    "host", ["localhost:8743/oss", "127.0.0.1:8700/oss", "[::1]:9000/oss", "127.9.9.9/files"]
)
def test_functions_find_files_of_this_machine_at_their_worker(host: str) -> None:
    addresses = addresses_at(host)
    hosts = file_hosts(addresses, "http://files.yunhan.internal/oss")
    assert hosts == FileHosts(public=f"https://{host}", internal="http://files.yunhan.internal/oss")
    assert addresses.public("mp-1", "a").startswith(f"{hosts.public}/")


@pytest.mark.parametrize(
    "host", ["cdn.example.com", "10.0.0.5:9000/oss", "localhost.example.com/oss", "[fd00::1]/oss"]
)
def test_other_names_are_left_to_the_network(host: str) -> None:
    assert file_hosts(addresses_at(host), "http://files.yunhan.internal/oss") is None


def test_paths_are_encoded_so_that_a_comma_ends_no_address() -> None:
    addresses = addresses_at("cdn.example.com")
    assert addresses.public("mp-1", "a b,c/?#%.png") == (
        "https://cdn.example.com/mp-1/a%20b%2Cc/%3F%23%25.png"
    )
    assert addresses.server_host == "http://127.0.0.1:8700/oss"


@pytest.mark.parametrize("host", ["https://x", "a b", "x:y", "/oss", "a..b//c", "x?y", "x:123456"])
@pytest.mark.parametrize("name", ["YUNHAN_FILES_UPLOAD_HOST", "YUNHAN_FILES_CDN_HOST"])
def test_what_is_no_host_is_refused(name: str, host: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load_settings({name: host})


def test_a_sweep_leaves_an_upload_its_way_into_the_store() -> None:
    with pytest.raises(SettingsError, match="YUNHAN_FILE_SWEEP_GRACE_S"):
        load_settings({"YUNHAN_FILE_SWEEP_GRACE_S": "300"})


def test_the_default_time_of_an_address_is_within_its_bound() -> None:
    with pytest.raises(SettingsError, match="YUNHAN_FILE_URL_TTL_MAX_S"):
        load_settings({"YUNHAN_FILE_URL_TTL_MAX_S": "60"})
