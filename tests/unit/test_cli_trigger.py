from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli_support import (
    SPACE_ID,
    FakeManagement,
    FakeTriggers,
    RefusalError,
    Shell,
    function_row,
    serving,
)

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nvery-secret\n-----END PRIVATE KEY-----\n"
HOST = f"https://{SPACE_ID}.fn.localhost:8743"
PATH_FORM = f"http://127.0.0.1:8700/trigger/{SPACE_ID}"


@pytest.fixture
def fake() -> Iterator[FakeManagement]:
    with serving(FakeManagement()) as fake:
        fake.answers |= {
            "ListFunction": {
                "DataList": [function_row("greet", http_path="/http/greet"), function_row("quiet")]
            },
            "DescribeFunction": {"Function": function_row("greet", http_path="/http/greet")},
            "UpdateFunction": {},
            "YunhanDescribeServer": {"NodeVersions": [24]},
        }
        yield fake


@pytest.fixture(autouse=True)
def triggers(fake: FakeManagement) -> FakeTriggers:
    return FakeTriggers(fake)


@pytest.fixture
def pem_options(tmp_path: Path) -> list[str]:
    (tmp_path / "chain.pem").write_text(CERTIFICATE)
    (tmp_path / "key.pem").write_text(KEY)
    return ["--certificate", str(tmp_path / "chain.pem"), "--key", str(tmp_path / "key.pem")]


def refuse_update(fake: FakeManagement, code: str, message: str) -> None:
    def refuse(_form: dict[str, str]) -> dict[str, Any]:
        raise RefusalError(code, message)

    fake.answers["UpdateHttpTriggerConfig"] = refuse


# --- on and off ---------------------------------------------------------------------------------


def test_on_and_off(shell: Shell, fake: FakeManagement) -> None:
    on = shell.run("trigger", "on", SPACE_ID)
    assert on.exit_code == 0, on.output
    assert f"{HOST}/http/..." in on.stdout
    assert f"The HTTP triggers of {SPACE_ID} are on." in on.stderr
    assert "No function has a path" not in on.stderr
    off = shell.run("trigger", "off", SPACE_ID)
    assert off.stdout == ""
    assert f"`yunhan trigger on {SPACE_ID}`" in off.stderr
    assert fake.asked("UpdateHttpTriggerConfig") == [
        {"SpaceId": SPACE_ID, "EnableService": "true"},
        {"SpaceId": SPACE_ID, "EnableService": "false"},
    ]


def test_on_says_how_a_function_gets_a_path(shell: Shell, fake: FakeManagement) -> None:
    fake.answers["ListFunction"] = {"DataList": [function_row("quiet")]}
    told = shell.run("trigger", "on", SPACE_ID).stderr
    assert f"`yunhan function set NAME --space {SPACE_ID} --http-path /http/...`" in told


def test_a_space_may_be_named(shell: Shell, fake: FakeManagement) -> None:
    fake.answers["ListSpace"] = {"Spaces": [{"SpaceId": SPACE_ID, "Name": "first"}]}
    assert "`yunhan trigger on first`" in shell.run("trigger", "off", "first").stderr
    assert fake.asked("UpdateHttpTriggerConfig")[0]["SpaceId"] == SPACE_ID


@pytest.mark.parametrize(
    "command",
    [
        ["on", SPACE_ID],
        ["off", SPACE_ID],
        ["domain", SPACE_ID, "api.example.com"],
        ["domain", SPACE_ID, "--remove"],
        ["limits", SPACE_ID, "--request-max", "5000"],
    ],
)
def test_every_change_prints_what_is_now_as_json(shell: Shell, command: list[str]) -> None:
    result = shell.run("trigger", *command, "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    shown = json.loads(shell.run("trigger", "show", SPACE_ID, "--json").stdout)
    assert shown.pop("functions") == [{"name": "greet", "httpPath": "/http/greet"}]
    assert json.loads(result.stdout) == shown


# --- show ---------------------------------------------------------------------------------------


def test_show_as_json(shell: Shell, triggers: FakeTriggers) -> None:
    triggers.row |= {"EnableService": True, "CustomDomain": "api.example.com"}
    triggers.certify(datetime(2036, 1, 2, tzinfo=UTC))
    shown = json.loads(shell.run("trigger", "show", SPACE_ID, "--json").stdout)
    assert shown["enabled"] is True
    assert shown["addresses"] == {
        "host": HOST,
        "custom": "https://api.example.com:8743",
        "path": PATH_FORM,
    }
    assert shown["certificate"]["names"] == ["api.example.com", "www.example.com"]
    assert shown["certificate"]["notAfter"] == "2036-01-02T00:00:00+00:00"
    assert (shown["requestMaxBytes"], shown["bodyMaxBytes"]) == (4096, 1_048_576)


def test_show_to_people(shell: Shell, triggers: FakeTriggers) -> None:
    triggers.row |= {
        "EnableService": True,
        "CustomDomain": "api.example.com",
        "RequestMaxBytes": 9000,
    }
    triggers.certify(datetime.now(UTC) + timedelta(days=31))
    result = shell.run("trigger", "show", SPACE_ID)
    for text in (
        f"{HOST}/http/...",
        "https://api.example.com:8743/http/...",
        f"{PATH_FORM}/http/...",
        "at most 9000 bytes\n",
        "at most 4096 bytes (the default)",
        "for api.example.com, www.example.com",
    ):
        assert text in result.stdout
    assert result.stdout.splitlines()[-1].split() == ["greet", "/http/greet"]
    assert result.stderr == ""


def test_show_says_how_to_switch_on(shell: Shell) -> None:
    assert f"`yunhan trigger on {SPACE_ID}`" in shell.run("trigger", "show", SPACE_ID).stderr


def test_port_443_stands_in_no_address(shell: Shell, triggers: FakeTriggers) -> None:
    triggers.row |= {
        "DefaultEndpoint": f"{SPACE_ID}.fn.example.com",
        "CustomDomain": "api.example.com",
    }
    shown = json.loads(shell.run("trigger", "show", SPACE_ID, "--json").stdout)
    assert shown["addresses"]["host"] == f"https://{SPACE_ID}.fn.example.com"
    assert shown["addresses"]["custom"] == "https://api.example.com"


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (timedelta(days=30, hours=1), ""),
        (timedelta(days=29, hours=1), "expires in 29 days"),
        (timedelta(hours=1), "expires in 0 days"),
        (timedelta(hours=-1), "has expired"),
    ],
)
def test_a_certificate_that_expires_soon_is_a_warning(
    shell: Shell, triggers: FakeTriggers, left: timedelta, told: str
) -> None:
    triggers.row |= {"EnableService": True, "CustomDomain": "api.example.com"}
    triggers.certify(datetime.now(UTC) + left)
    warned = shell.run("trigger", "show", SPACE_ID).stderr
    assert told in warned
    assert bool(warned) is bool(told)


# --- domain -------------------------------------------------------------------------------------


@pytest.mark.parametrize("enabled", [True, False])
def test_domain_keeps_whether_triggers_are_on(
    shell: Shell,
    fake: FakeManagement,
    triggers: FakeTriggers,
    pem_options: list[str],
    enabled: bool,
) -> None:
    triggers.row["EnableService"] = enabled
    result = shell.run("trigger", "domain", SPACE_ID, "api.example.com", *pem_options)
    assert result.exit_code == 0, result.output
    assert fake.asked("UpdateHttpTriggerConfig") == [
        {
            "SpaceId": SPACE_ID,
            "EnableService": str(enabled).lower(),
            "CustomDomain": "api.example.com",
            "CustomDomainCertificate": CERTIFICATE,
            "CustomDomainPrivateKey": KEY,
        }
    ]
    assert "https://api.example.com:8743/http/..." in result.stdout
    assert "Make a DNS record of api.example.com that leads to this program or" in result.stderr


def test_domain_names_the_target_of_its_dns_record(
    shell: Shell, fake: FakeManagement, triggers: FakeTriggers
) -> None:
    cname = f"{SPACE_ID}.fn.example.com"
    fake.answers["UpdateHttpTriggerConfig"] = lambda _: triggers.row
    triggers.row |= {"CustomDomain": "api.example.com", "CustomDomainCname": cname}
    told = shell.run("trigger", "domain", SPACE_ID, "api.example.com").stderr
    assert f"leads to this program (CNAME {cname}) or to your proxy" in told


def test_domain_without_certificate_keeps_the_present_one(
    shell: Shell, fake: FakeManagement
) -> None:
    told = shell.run("trigger", "domain", SPACE_ID, "api.example.com").stdout
    assert "none: a proxy has to have it" in told
    [asked] = fake.asked("UpdateHttpTriggerConfig")
    assert asked.keys() == {"SpaceId", "EnableService", "CustomDomain"}


def test_domain_remove(shell: Shell, fake: FakeManagement, triggers: FakeTriggers) -> None:
    triggers.row |= {"EnableService": True, "CustomDomain": "api.example.com"}
    result = shell.run("trigger", "domain", SPACE_ID, "--remove")
    assert result.exit_code == 0, result.output
    assert "api.example.com" not in result.output
    assert "DNS record" not in result.output
    assert fake.asked("UpdateHttpTriggerConfig") == [
        {"SpaceId": SPACE_ID, "EnableService": "true", "CustomDomain": ""}
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["api.example.com", "--remove"],
        ["api.example.com", "--key", "KEY"],
        ["api.example.com", "--certificate", "CHAIN"],
        ["--remove", "--certificate", "CHAIN", "--key", "KEY"],
        ["api.example.com", "--certificate", "CHAIN", "--key", "/nowhere/key.pem"],
    ],
)
def test_wrong_usage_of_domain(
    shell: Shell, fake: FakeManagement, pem_options: list[str], arguments: list[str]
) -> None:
    files = {"CHAIN": pem_options[1], "KEY": pem_options[3]}
    given = [files.get(argument, argument) for argument in arguments]
    assert shell.run("trigger", "domain", SPACE_ID, *given).exit_code == 2
    assert fake.calls == []


@pytest.mark.parametrize("content", [b"\x30\x82\xff", b"very-secret", KEY.encode() * 5000])
def test_a_key_file_that_is_no_pem_is_named_but_not_quoted(
    shell: Shell, fake: FakeManagement, pem_options: list[str], content: bytes
) -> None:
    Path(pem_options[3]).write_bytes(content)
    result = shell.run("trigger", "domain", SPACE_ID, "api.example.com", *pem_options)
    assert result.exit_code == 1
    assert f"{pem_options[3]} is no PEM file" in result.stderr
    assert "very-secret" not in result.output
    assert fake.calls == []


@pytest.mark.parametrize(
    ("parameter", "place"), [("CustomDomainCertificate", 1), ("CustomDomainPrivateKey", 3)]
)
def test_what_the_program_says_of_a_file_names_it(
    shell: Shell, fake: FakeManagement, pem_options: list[str], parameter: str, place: int
) -> None:
    refuse_update(fake, f"Invalid{parameter}.Malformed", f"{parameter}: is damaged")
    command = ["trigger", "domain", SPACE_ID, "api.example.com", *pem_options]
    told = shell.run(*command)
    assert told.exit_code == 1
    assert f"{pem_options[place]}: is damaged (Invalid{parameter}.Malformed)" in told.stderr
    assert "very-secret" not in told.output
    as_json = json.loads(shell.run(*command, "--json").stdout)
    assert as_json["error"] == {
        "code": f"Invalid{parameter}.Malformed",
        "message": f"{pem_options[place]}: is damaged",
    }


def test_other_refusals_of_a_domain_stay_as_they_are(
    shell: Shell, fake: FakeManagement, pem_options: list[str]
) -> None:
    refuse_update(fake, "CustomDomain.Taken", "another space has it")
    told = shell.run("trigger", "domain", SPACE_ID, "api.example.com", *pem_options).stderr
    assert told == "error: another space has it (CustomDomain.Taken)\n"


# --- limits -------------------------------------------------------------------------------------


def test_limits_send_only_what_is_given(shell: Shell, fake: FakeManagement) -> None:
    wider = shell.run("trigger", "limits", SPACE_ID, "--request-max", "65536")
    assert "at most 65536 bytes\n" in wider.stdout
    usual = shell.run("trigger", "limits", SPACE_ID, "--request-max", "0", "--response-max", "9")
    assert "at most 4096 bytes (the default)" in usual.stdout
    assert fake.asked("YunhanUpdateHttpTriggerLimits") == [
        {"SpaceId": SPACE_ID, "RequestMaxBytes": "65536"},
        {"SpaceId": SPACE_ID, "RequestMaxBytes": "0", "ResponseMaxBytes": "9"},
    ]


@pytest.mark.parametrize("arguments", [[], ["--request-max", "-1"], ["--response-max", "1k"]])
def test_wrong_usage_of_limits(shell: Shell, fake: FakeManagement, arguments: list[str]) -> None:
    assert shell.run("trigger", "limits", SPACE_ID, *arguments).exit_code == 2
    assert fake.calls == []


# --- paths of functions -------------------------------------------------------------------------


def test_function_set_of_a_path_says_where_it_answers(
    shell: Shell, fake: FakeManagement, triggers: FakeTriggers
) -> None:
    triggers.row |= {"EnableService": True, "CustomDomain": "api.example.com"}
    command = ["function", "set", "greet", "--space", SPACE_ID, "--http-path", "/http/greet"]
    result = shell.run(*command)
    assert result.exit_code == 0, result.output
    assert fake.asked("UpdateFunction") == [
        {"SpaceId": SPACE_ID, "Name": "greet", "HttpTriggerPath": "/http/greet"}
    ]
    for address in (HOST, "https://api.example.com:8743", PATH_FORM):
        assert f"{address}/http/greet" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("command", [["show", "greet"], ["set", "greet", "--http-path", "/http/a"]])
def test_a_path_that_nothing_answers_says_how_to_switch_on(
    shell: Shell, fake: FakeManagement, command: list[str]
) -> None:
    fake.answers["ListSpace"] = {"Spaces": [{"SpaceId": SPACE_ID, "Name": "first"}]}
    result = shell.run("function", *command, "--space", "first")
    assert "are off; `yunhan trigger on first` switches them on." in result.stderr


def test_an_empty_path_switches_off(shell: Shell, fake: FakeManagement) -> None:
    fake.answers["DescribeFunction"] = {"Function": function_row("greet")}
    result = shell.run("function", "set", "greet", "--space", SPACE_ID, "--http-path", "")
    assert fake.asked("UpdateFunction") == [
        {"SpaceId": SPACE_ID, "Name": "greet", "HttpTriggerPath": ""}
    ]
    assert "HTTP path" in result.stdout
    assert "https://" not in result.stdout
    assert result.stderr == ""


def test_paths_of_functions_as_json(shell: Shell) -> None:
    shown = shell.run("function", "show", "greet", "--space", SPACE_ID, "--json")
    assert json.loads(shown.stdout)["httpPath"] == "/http/greet"
    assert shown.stderr == ""
    rows = json.loads(shell.run("function", "list", "--space", SPACE_ID, "--json").stdout)
    assert [row["httpPath"] for row in rows] == ["/http/greet", ""]
    assert "/http/greet" in shell.run("function", "list", "--space", SPACE_ID).stdout
