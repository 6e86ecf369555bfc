from __future__ import annotations

import pytest

from runtime.trigger.addresses import (
    Origin,
    TriggerAddress,
    TriggerNames,
    host_name,
    trigger_address,
)

DOMAINS = {"shop.example.com": "mp-2", "api.example.com": "mp-2"}
NAMES = TriggerNames(
    domain="fn.localhost",
    own_hosts=frozenset({"api.example.com"}),
    space_of_domain=DOMAINS.get,
)


def address(host: str, path: str) -> TriggerAddress | None:
    return trigger_address(host, path, NAMES)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("mp-1.fn.localhost", "mp-1.fn.localhost"),
        ("MP-1.FN.localhost:8743", "mp-1.fn.localhost"),
        ("mp-1.fn.localhost.:80", "mp-1.fn.localhost"),
        ("mp-1.fn.localhost:", "mp-1.fn.localhost"),
        ("", ""),
        (":80", ""),
        ("[::1]:8700", "[::1]"),
        ("[::1]", "[::1]"),
        ("a:b", "a:b"),
        ("x" * 300 + ":80", ""),
    ],
)
def test_the_name_in_a_host_field(host: str, name: str) -> None:
    assert host_name(host) == name


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("mp-1.fn.localhost", "/http/x", ("mp-1", "/http/x", Origin.SPACE)),
        ("MP-1.fn.localhost:8743", "/http%2Fx", ("mp-1", "/http%2Fx", Origin.SPACE)),
        # the gateway's own addresses are not served under the name of a space
        ("mp-1.fn.localhost", "/client", ("mp-1", "/client", Origin.SPACE)),
        ("mp-1.fn.localhost", "/trigger/mp-3/http", ("mp-1", "/trigger/mp-3/http", Origin.SPACE)),
        (".fn.localhost", "/http", ("", "/http", Origin.SPACE)),
        ("shop.example.com:8743", "/http/x", ("mp-2", "/http/x", Origin.DOMAIN)),
        ("127.0.0.1:8700", "/trigger/mp-1/http/x", ("mp-1", "/http/x", Origin.GATEWAY)),
        ("127.0.0.1:8700", "/trigger/mp-1", ("mp-1", "", Origin.GATEWAY)),
        ("127.0.0.1:8700", "/trigger/", ("", "", Origin.GATEWAY)),
    ],
)
def test_addresses_of_triggers(host: str, path: str, expected: tuple[str, str, Origin]) -> None:
    space_id, raw_path, origin = expected
    assert address(host, path) == TriggerAddress(
        space_id=space_id, raw_path=raw_path, origin=origin
    )


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("127.0.0.1:8700", "/client"),
        # our own name, though a space has it from an earlier time
        ("api.example.com", "/client"),
        ("api.example.com", "/http/x"),
        ("fn.localhost", "/http/x"),
        ("a.b.fn.localhost", "/http/x"),
        ("mp-1.fn.localhost.evil.com", "/http/x"),
        ("mp-1fn.localhost", "/http/x"),
        ("example.com", "/http/x"),
        ("", "/"),
        ("127.0.0.1:8700", "/trigger"),
        ("127.0.0.1:8700", "/Trigger/mp-1/http"),
    ],
)
def test_other_requests_are_for_the_gateway(host: str, path: str) -> None:
    assert address(host, path) is None
