"""`yunhan egress`, against a scripted program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.cli_support import SPACE_ID, FakeManagement, RefusalError, Shell, serving

COMMON = {"Public": True, "SpaceRules": "any", "Walls": True}
LOOPBACK = {"Rule": "127.0.0.1:8080", "Opens": ["a loopback address"]}
NAME = {"Rule": "db.internal:5432", "Opens": []}
OF_SPACE: dict[str, Any] = {
    "Mode": "inherit",
    "Allow": [LOOPBACK],
    "Functions": [
        {"Name": "quiet", "Mode": "none", "Allow": []},
        {"Name": "shop", "Mode": "inherit", "Allow": [NAME]},
    ],
    **COMMON,
}
OF_FUNCTION: dict[str, Any] = {
    "Name": "shop",
    "Mode": "inherit",
    "Allow": [NAME],
    "Space": {"Mode": "inherit", "Allow": [LOOPBACK]},
    "Effective": {"Installation": True, "Allow": [LOOPBACK, NAME]},
    **COMMON,
}


@pytest.fixture
def fake() -> Iterator[FakeManagement]:
    def answer(form: dict[str, str]) -> dict[str, Any]:
        return OF_FUNCTION if form.get("Name") else OF_SPACE

    with serving(FakeManagement()) as fake:
        fake.answers |= {"YunhanDescribeEgress": answer, "YunhanUpdateEgress": answer}
        yield fake


def test_a_space_is_shown_with_its_functions(shell: Shell) -> None:
    result = shell.run("egress", "show", SPACE_ID)
    assert result.exit_code == 0, result.output
    for words in (
        "public addresses, what YUNHAN_EGRESS_ALLOW names, and what the rules name",
        "127.0.0.1:8080    the space  inherit  a loopback address",
        "(no rule)         quiet      none     nothing",
        "db.internal:5432  shop       inherit  whatever it resolves to",
    ):
        assert words in result.stdout
    assert result.stderr == ""


def test_a_function_is_shown_with_what_it_has_from_its_space(
    shell: Shell, fake: FakeManagement
) -> None:
    result = shell.run("egress", "show", SPACE_ID, "--function", "shop")
    assert "db.internal:5432  shop" in result.stdout
    assert "127.0.0.1:8080    the space" in result.stdout
    closed = {"Installation": False, "Allow": [NAME]}
    fake.answers["YunhanDescribeEgress"] = {**OF_FUNCTION, "Mode": "none", "Effective": closed}
    result = shell.run("egress", "show", SPACE_ID, "--function", "shop")
    assert "only what the rules name" in result.stdout
    assert "127.0.0.1:8080" not in result.stdout


def test_as_json(shell: Shell) -> None:
    result = shell.run("egress", "show", SPACE_ID, "--json")
    assert json.loads(result.stdout) == {
        "mode": "inherit",
        "allow": ["127.0.0.1:8080"],
        "functions": [
            {"function": "quiet", "mode": "none", "allow": []},
            {"function": "shop", "mode": "inherit", "allow": ["db.internal:5432"]},
        ],
        "public": True,
        "spaceRules": "any",
        "walls": True,
    }
    result = shell.run("egress", "show", SPACE_ID, "--function", "shop", "--json")
    told = json.loads(result.stdout)
    assert told["function"] == "shop"
    assert told["space"] == {"mode": "inherit", "allow": ["127.0.0.1:8080"]}
    assert told["effective"] == {
        "installation": True,
        "allow": ["127.0.0.1:8080", "db.internal:5432"],
    }


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        (("allow", SPACE_ID, "::1", "10.0.0.0/8"), {"Allow": '["::1", "10.0.0.0/8"]'}),
        (
            ("allow", SPACE_ID, "::1", "--function", "shop"),
            {"Allow": '["::1"]', "Name": "shop"},
        ),
        (("remove", SPACE_ID, "127.0.0.1:8080"), {"Remove": '["127.0.0.1:8080"]'}),
        (
            ("remove", SPACE_ID, "DB.internal:5432", "--function", "shop"),
            {"Remove": '["DB.internal:5432"]', "Name": "shop"},
        ),
        (("remove", SPACE_ID, "--all"), {"Clear": "true"}),
        (("mode", SPACE_ID, "none"), {"Mode": "none"}),
        (("mode", SPACE_ID, "inherit", "--function", "shop"), {"Mode": "inherit", "Name": "shop"}),
    ],
)
def test_what_is_sent(
    shell: Shell, fake: FakeManagement, words: tuple[str, ...], sent: dict[str, str]
) -> None:
    result = shell.run("egress", *words)
    assert result.exit_code == 0, result.output
    assert fake.asked("YunhanUpdateEgress") == [{"SpaceId": SPACE_ID, **sent}]
    assert result.stdout == shell.run("egress", "show", SPACE_ID, *_function_of(words)).stdout


@pytest.mark.parametrize(
    "words",
    [
        ("allow", SPACE_ID),
        ("remove", SPACE_ID),
        ("remove", SPACE_ID, "::1", "--all"),
        ("mode", SPACE_ID, "public"),
        ("mode", SPACE_ID),
    ],
)
def test_wrong_usage_asks_nothing(
    shell: Shell, fake: FakeManagement, words: tuple[str, ...]
) -> None:
    assert shell.run("egress", *words).exit_code == 2
    assert fake.calls == []


def test_rules_or_all_not_both(shell: Shell) -> None:
    assert "not both" in shell.run("egress", "remove", SPACE_ID, "::1", "--all").stderr


def test_a_rule_that_is_not_there_is_not_removed(shell: Shell, fake: FakeManagement) -> None:
    result = shell.run("egress", "remove", SPACE_ID, "127.0.0.1:8081")
    assert result.exit_code == 1
    assert "has no rule 127.0.0.1:8081. Did you mean 127.0.0.1:8080?" in result.stderr
    assert "The rules are: 127.0.0.1:8080." in result.stderr
    result = shell.run("egress", "remove", SPACE_ID, "10.0.0.0/8", "--json")
    assert json.loads(result.stdout)["error"]["code"] == "EgressRuleNotFound"
    fake.answers["YunhanDescribeEgress"] = {**OF_SPACE, "Allow": []}
    assert "It has none." in shell.run("egress", "remove", SPACE_ID, "10.0.0.0/8").stderr
    assert fake.asked("YunhanUpdateEgress") == []


def test_help_names_the_modes(shell: Shell) -> None:
    assert "inherit|none" in shell.run("egress", "mode", "--help").stdout


def test_a_refusal_is_told(shell: Shell, fake: FakeManagement) -> None:
    def refuse(_form: dict[str, str]) -> dict[str, Any]:
        raise RefusalError("InvalidEgressRule", "Allow[0]: the egress rule 'x!' is not a host name")

    fake.answers["YunhanUpdateEgress"] = refuse
    result = shell.run("egress", "allow", SPACE_ID, "x!")
    assert result.exit_code == 1
    assert "Allow[0]: the egress rule 'x!' is not a host name" in result.output


def test_without_walls_it_is_said_that_rules_hold_for_little(
    shell: Shell, fake: FakeManagement
) -> None:
    fake.answers["YunhanDescribeEgress"] = {**OF_SPACE, "Walls": False}
    result = shell.run("egress", "show", SPACE_ID)
    assert "httpProxyClient only" in result.stderr
    assert "httpProxyClient" not in shell.run("egress", "show", SPACE_ID, "--json").output


def test_an_installation_that_narrows_says_so(shell: Shell, fake: FakeManagement) -> None:
    fake.answers["YunhanDescribeEgress"] = {**OF_SPACE, "SpaceRules": "narrow", "Public": False}
    result = shell.run("egress", "show", SPACE_ID)
    assert "narrow only" in result.stdout
    assert "public addresses" not in result.stdout


def _function_of(words: tuple[str, ...]) -> tuple[str, ...]:
    return words[words.index("--function") :] if "--function" in words else ()
