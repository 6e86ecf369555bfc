"""`yunhan cors`, against a scripted program."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.unit.cli_support import SPACE_ID, FakeManagement, RefusalError, Shell, serving

DOMAINS = [
    {"Domain": "shop.test", "DomainId": "cors-1"},
    {"Domain": "*.shop.test:8080", "DomainId": "cors-2"},
]


@pytest.fixture
def fake() -> Iterator[FakeManagement]:
    with serving(FakeManagement()) as fake:
        fake.answers |= {
            "ListCorsDomains": {"Domains": DOMAINS},
            "AddCorsDomain": {"DomainId": "cors-3"},
            "DeleteCorsDomain": {},
        }
        yield fake


def test_domains_are_listed(shell: Shell, fake: FakeManagement) -> None:
    result = shell.run("cors", "ls", SPACE_ID)
    assert result.exit_code == 0, result.output
    assert "shop.test         cors-1" in result.stdout
    result = shell.run("cors", "ls", SPACE_ID, "--json")
    assert json.loads(result.stdout)[1] == {"domain": "*.shop.test:8080", "id": "cors-2"}


def test_a_domain_is_added(shell: Shell, fake: FakeManagement) -> None:
    result = shell.run("cors", "add", SPACE_ID, "a.test", "--json")
    assert json.loads(result.stdout) == {"id": "cors-3"}
    assert fake.asked("AddCorsDomain") == [{"SpaceId": SPACE_ID, "Domain": "a.test"}]
    assert "Pages of a.test may call." in shell.run("cors", "add", SPACE_ID, "a.test").stdout


@pytest.mark.parametrize("named", ["*.shop.test:8080", "cors-2"])
def test_a_domain_is_removed_by_name_or_id(shell: Shell, fake: FakeManagement, named: str) -> None:
    result = shell.run("cors", "rm", SPACE_ID, named)
    assert result.exit_code == 0, result.output
    assert fake.asked("DeleteCorsDomain") == [{"SpaceId": SPACE_ID, "DomainId": "cors-2"}]


def test_what_is_not_there_is_told_with_what_is(shell: Shell, fake: FakeManagement) -> None:
    result = shell.run("cors", "rm", SPACE_ID, "other.test")
    assert result.exit_code == 1
    assert "It allows: shop.test, *.shop.test:8080." in result.stderr
    assert fake.asked("DeleteCorsDomain") == []


def test_a_refusal_is_told(shell: Shell, fake: FakeManagement) -> None:
    def refuse(form: dict[str, str]) -> dict[str, str]:
        raise RefusalError("CorsDomainLimitExceeded", "the limit is 9")

    fake.answers["AddCorsDomain"] = refuse
    result = shell.run("cors", "add", SPACE_ID, "a.test")
    assert result.exit_code == 1
    assert "the limit is 9" in result.stderr
