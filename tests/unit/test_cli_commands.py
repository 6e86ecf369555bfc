"""What all commands have in common: how they reach the program, exit codes, settings, help."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.data_dir import DataDir
from tests.unit.cli_support import (
    SPACE_ID,
    FakeManagement,
    RefusalError,
    Shell,
)

# --- reaching the program -----------------------------------------------------------------------


def test_no_running_program_is_exit_code_3(tmp_path: Path) -> None:
    result = Shell(tmp_path).run("space", "list")
    assert result.exit_code == 3
    assert "yunhan up" in result.stderr


@pytest.mark.parametrize("folder", ["worker", "."])
def test_a_worker_takes_no_requests_and_says_who_does(tmp_path: Path, folder: str) -> None:
    with DataDir(tmp_path).own(), DataDir(tmp_path / folder).announce(""):
        result = Shell(tmp_path).run("space", "list")
    assert result.exit_code == 3
    for named in ("worker", "--endpoint", "YUNHAN_ACCESS_KEY_ID"):
        assert named in result.stderr


def test_a_program_that_was_killed_is_exit_code_3(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.announce("http://127.0.0.1:1")
    result = shell.run("space", "list")
    assert result.exit_code == 3
    assert "http://127.0.0.1:1" in result.stderr


def test_the_endpoint_option_wins(shell: Shell, fake: FakeManagement) -> None:
    shell.announce("http://127.0.0.1:1")
    result = shell.run("space", "list", "--endpoint", fake.endpoint, "--json")
    assert [row["name"] for row in json.loads(result.stdout)] == ["first", "云函空间"]


def test_misspelt_settings_are_exit_code_2(shell: Shell) -> None:
    shell.environ |= {"YUNHAN_SLOT": "3", "YUNHAN_DATADIR": "x"}
    for command in (["space", "list"], ["keys"], ["up"]):
        result = shell.run(*command)
        assert result.exit_code == 2
        assert "did you mean YUNHAN_SLOTS" in result.stderr
        assert "did you mean YUNHAN_DATA_DIR" in result.stderr


def test_errors_are_json_where_json_is_wanted(shell: Shell, fake: FakeManagement) -> None:
    def refuse(_form: dict[str, str]) -> dict[str, str]:
        raise RefusalError("FunctionNotFound", "there is no function nobody", 404)

    fake.answers["YunhanInvoke"] = refuse
    unknown = shell.run("invoke", "nobody", "--space", "first", "--json")
    assert unknown.exit_code == 1
    assert json.loads(unknown.stdout) == {
        "success": False,
        "error": {"code": "FunctionNotFound", "message": "there is no function nobody"},
    }
    no_space = shell.run("invoke", "greet", "--space", "nowhere", "--json")
    assert no_space.exit_code == 1
    assert json.loads(no_space.stdout)["error"]["code"] == "SpaceNotFound"
    away = shell.run("space", "list", "--json", "--endpoint", "http://127.0.0.1:1")
    assert away.exit_code == 3
    assert json.loads(away.stdout)["error"]["code"] == "Unreachable"
    usage = shell.run("invoke", "greet", "--json")
    assert usage.exit_code == 2
    assert json.loads(usage.stdout)["error"]["code"] == "MissingParameter"


def test_a_hint_names_the_space(shell: Shell, fake: FakeManagement) -> None:
    def refuse(_form: dict[str, str]) -> dict[str, str]:
        raise RefusalError("FunctionNotFound", "there is none", 404)

    fake.answers["DescribeFunction"] = refuse
    told = shell.run("function", "show", "nobody", "--space", "first").stderr
    assert f"`yunhan function list --space {SPACE_ID}`" in told


def test_a_missing_option_is_exit_code_2(shell: Shell) -> None:
    assert shell.run("invoke", "greet").exit_code == 2


# --- settings -----------------------------------------------------------------------------------


def test_config_show_names_value_source_and_unit_and_hides_secrets(shell: Shell) -> None:
    shell.environ |= {"YUNHAN_ACCESS_KEY_ID": "a", "YUNHAN_ACCESS_KEY_SECRET": "very-secret"}
    result = shell.run("config", "show", "--json")
    rows = {row["variable"]: row for row in json.loads(result.stdout)}
    assert rows["YUNHAN_SLOTS"]["source"] == "default"
    assert rows["YUNHAN_DATA_DIR"]["source"] == "environment"
    assert rows["YUNHAN_QUEUE_WAIT_S"]["unit"] == "s"
    assert "very-secret" not in result.stdout
    assert "a running program has its own" in shell.run("config", "show").stderr
    assert "YUNHAN_SLOTS" in shell.run("config", "show").stdout


def test_config_show_works_with_misspelt_settings(shell: Shell) -> None:
    shell.environ["YUNHAN_SLOT"] = "3"
    result = shell.run("config", "show")
    assert result.exit_code == 0
    assert "problem: YUNHAN_SLOT is no setting" in result.stderr
    assert "YUNHAN_QUEUE_URL" in result.stdout


def test_help_lists_every_command(shell: Shell) -> None:
    result = shell.run("--help")
    assert result.exit_code == 0
    names = "up space keys deploy function trigger invoke logs doctor config"
    for name in names.split():
        assert f"\n  {name} " in result.stdout
