"""`yunhan function set --env ...` and `yunhan function env`, against a scripted program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.cli.function_env import FILE_MAX_BYTES
from tests.unit.cli_support import (
    SPACE_ID,
    FakeManagement,
    RefusalError,
    Shell,
    function_row,
    serving,
)

SECRET = 'hush = "云" #1\n'
SET = ("function", "set", "greet", "--space", SPACE_ID)


class FakeEnv:
    """The actions on one function's variables, answered as the program does."""

    def __init__(self, fake: FakeManagement) -> None:
        self.env: dict[str, str] = {}
        fake.answers |= {
            "YunhanUpdateFunctionEnv": self._update,
            "YunhanDescribeFunctionEnv": self._describe,
        }

    def _update(self, form: dict[str, str]) -> dict[str, Any]:
        if form.get("Clear") == "true":
            self.env = {}
        for name in json.loads(form.get("Unset", "[]")):
            self.env.pop(name, None)
        self.env |= json.loads(form.get("Set", "{}"))
        return self._answer(show=False)

    def _describe(self, form: dict[str, str]) -> dict[str, Any]:
        return self._answer(show=form["ShowValues"] == "true")

    def _answer(self, *, show: bool) -> dict[str, Any]:
        rows = [
            {"Name": name, "Value": value} if show else {"Name": name}
            for name, value in sorted(self.env.items())
        ]
        return {"Name": "greet", "Variables": rows, "Bytes": 9, "BytesMax": 16384}


@pytest.fixture
def fake() -> Iterator[FakeManagement]:
    with serving(FakeManagement()) as fake:
        fake.answers |= {
            "DescribeFunction": {"Function": function_row("greet")},
            "UpdateFunction": {},
            "YunhanDescribeServer": {"NodeVersions": [24]},
        }
        yield fake


@pytest.fixture(autouse=True)
def env(fake: FakeManagement) -> FakeEnv:
    return FakeEnv(fake)


def test_variables_are_set_and_their_values_not_printed(shell: Shell, env: FakeEnv) -> None:
    result = shell.run(*SET, "--env", f"TOKEN={SECRET}", "--env", "EMPTY=", "--env", "EQ=a=b")
    assert result.exit_code == 0, result.output
    assert env.env == {"TOKEN": SECRET, "EMPTY": "", "EQ": "a=b"}
    assert "Environment variables of greet: EMPTY, EQ, TOKEN." in result.stderr
    assert "Memory" in result.stdout
    assert "hush" not in result.output


def test_only_what_is_asked_for_is_sent(shell: Shell, fake: FakeManagement) -> None:
    shell.run(*SET, "--env", "A=1")
    shell.run(*SET, "--unset-env", "A", "--unset-env", "B")
    shell.run(*SET, "--clear-env")
    base = {"SpaceId": SPACE_ID, "Name": "greet"}
    assert fake.asked("YunhanUpdateFunctionEnv") == [
        {**base, "Set": '{"A": "1"}'},
        {**base, "Unset": '["A", "B"]'},
        {**base, "Clear": "true"},
    ]
    assert fake.asked("UpdateFunction") == []


def test_other_settings_go_their_own_way(shell: Shell, fake: FakeManagement) -> None:
    shell.run(*SET, "--memory", "512")
    assert fake.asked("YunhanUpdateFunctionEnv") == []
    shell.run(*SET, "--memory", "512", "--env", "A=1")
    assert len(fake.asked("UpdateFunction")) == 2
    assert len(fake.asked("YunhanUpdateFunctionEnv")) == 1


def test_json_stays_one_line(shell: Shell) -> None:
    result = shell.run(*SET, "--env", f"A={SECRET}", "--json")
    assert json.loads(result.stdout)["name"] == "greet"
    assert "hush" not in result.output


def test_a_file_of_variables(shell: Shell, env: FakeEnv, tmp_path: Path) -> None:
    file = tmp_path / "vars.env"
    file.write_bytes("\ufeff# ours\nA=1\nB='two\nlines' # ok\nC=3\n".encode())
    arguments = ("--env-file", str(file), "--env", "C=4")
    assert shell.run(*SET, *arguments).exit_code == 0
    assert env.env == {"A": "1", "B": "two\nlines", "C": "4"}
    assert shell.run(*SET, "--env-file", str(file), "--unset-env", "B").exit_code == 0
    assert env.env == {"A": "1", "C": "3"}


def test_a_file_from_stdin_replaces_all(shell: Shell, env: FakeEnv) -> None:
    env.env = {"OLD": "1"}
    assert shell.run(*SET, "--clear-env", "--env-file", "-", stdin="A=2\n").exit_code == 0
    assert env.env == {"A": "2"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--env", "hush"],
        ["--env", "=hush"],
        ["--env", "A=hush", "--env", "A=hush"],
        ["--env", "A=hush", "--unset-env", "A"],
        ["--clear-env", "--unset-env", "A"],
        ["--env-file", "/nowhere/at/all"],
        [],
    ],
)
def test_wrong_usage_quotes_no_value(
    shell: Shell, fake: FakeManagement, arguments: list[str]
) -> None:
    result = shell.run(*SET, *arguments)
    assert result.exit_code == 2
    assert "hush" not in result.output
    assert fake.calls == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"A=1\nhush hush\n", "line 2"),
        (b"A=hush\xff\n", "no text in UTF-8"),
        (b"A='hush\n", "line 1"),
        (b"#" * (FILE_MAX_BYTES + 1), "more than"),
    ],
)
def test_a_bad_file_is_told_by_name_and_line(
    shell: Shell, fake: FakeManagement, tmp_path: Path, content: bytes, told: str
) -> None:
    file = tmp_path / "vars.env"
    file.write_bytes(content)
    result = shell.run(*SET, "--env-file", str(file))
    assert result.exit_code == 1
    assert str(file) in result.stderr
    assert told in result.stderr
    assert "hush" not in result.output
    assert fake.calls == []


def test_a_refusal_changes_no_other_setting(shell: Shell, fake: FakeManagement) -> None:
    def refuse(_form: dict[str, str]) -> dict[str, Any]:
        raise RefusalError("InvalidParameter.Set", "'NODE_OPTIONS' is read when a process starts")

    fake.answers["YunhanUpdateFunctionEnv"] = refuse
    result = shell.run(*SET, "--env", "NODE_OPTIONS=hush", "--memory", "512")
    assert result.exit_code == 1
    assert "when a process starts" in result.stderr
    assert "hush" not in result.output
    assert fake.asked("UpdateFunction") == []


def test_names_are_listed_and_values_only_when_asked(shell: Shell, env: FakeEnv) -> None:
    env.env = {"TOKEN": SECRET, "A": "1"}
    command = ("function", "env", "greet", "--space", SPACE_ID)
    assert shell.run(*command).stdout == "A\nTOKEN\n"
    told = json.loads(shell.run(*command, "--json").stdout)
    assert told == {
        "function": "greet",
        "variables": [{"name": "A"}, {"name": "TOKEN"}],
        "bytes": 9,
        "bytesMax": 16384,
    }
    told = json.loads(shell.run(*command, "--json", "--show-values").stdout)
    assert told["variables"] == [{"name": "A", "value": "1"}, {"name": "TOKEN", "value": SECRET}]


def test_shown_values_can_be_set_again(shell: Shell, env: FakeEnv) -> None:
    env.env = before = {"TOKEN": SECRET, "A": "  \x1b[31m\\n "}
    shown = shell.run("function", "env", "greet", "--space", SPACE_ID, "--show-values")
    assert "\x1b" not in shown.stdout
    env.env = {"OTHER": "1"}
    result = shell.run(*SET, "--clear-env", "--env-file", "-", stdin=shown.stdout)
    assert result.exit_code == 0, result.output
    assert env.env == before


def test_no_variables(shell: Shell) -> None:
    result = shell.run("function", "env", "greet", "--space", SPACE_ID)
    assert (result.stdout, result.exit_code) == ("", 0)
    assert "has no environment variables" in result.stderr
