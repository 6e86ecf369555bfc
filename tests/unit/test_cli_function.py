"""Functions and their settings on the command line."""

from __future__ import annotations

import json

from tests.unit.cli_support import (
    SPACE_ID,
    FakeManagement,
    Shell,
    function_row,
)

# --- functions ----------------------------------------------------------------------------------


def test_function_show_gives_numbers(shell: Shell, fake: FakeManagement) -> None:
    fake.answers["DescribeFunction"] = {
        "Function": function_row("greet"),
        "Deployment": {"DeploymentId": "dep-1", "VersionNo": "7"},
    }
    shown = json.loads(shell.run("function", "show", "greet", "--space", "first", "--json").stdout)
    assert shown["memoryMb"] == 512
    assert shown["timeoutS"] == 5
    assert shown["concurrency"] == 2
    assert shown["deployment"] == {"deploymentId": "dep-1", "versionNo": "7"}


def test_function_set_sends_only_what_is_given(shell: Shell, fake: FakeManagement) -> None:
    result = shell.run("function", "set", "greet", "--space", SPACE_ID, "--memory", "512")
    assert result.exit_code == 0, result.output
    assert fake.asked("UpdateFunction") == [{"SpaceId": SPACE_ID, "Name": "greet", "Memory": "512"}]
    assert "none: deploy one" in result.stdout


def test_function_set_takes_an_empty_description(shell: Shell, fake: FakeManagement) -> None:
    shell.run("function", "set", "greet", "--space", SPACE_ID, "--desc", "")
    assert fake.asked("UpdateFunction") == [{"SpaceId": SPACE_ID, "Name": "greet", "Desc": ""}]


def test_function_set_of_nothing_is_wrong_usage(shell: Shell, fake: FakeManagement) -> None:
    assert shell.run("function", "set", "greet", "--space", SPACE_ID).exit_code == 2
    assert fake.calls == []


def test_function_list(shell: Shell, fake: FakeManagement) -> None:
    fake.answers["ListFunction"] = {"DataList": [function_row("greet")]}
    table = shell.run("function", "list", "--space", "first").stdout
    assert "512 MB" in table
    rows = json.loads(shell.run("function", "list", "--space", "first", "--json").stdout)
    assert [row["name"] for row in rows] == ["greet"]


def test_a_function_says_which_version_runs_it(shell: Shell, fake: FakeManagement) -> None:
    fake.answers["ListFunction"] = {"DataList": [function_row("greet")]}
    assert "Node.js 14 (runs on 20)" in shell.run("function", "list", "--space", "first").stdout
    assert (
        "Node.js 14 (runs on 20)" in shell.run("function", "show", "a", "--space", "first").stdout
    )
    fake.answers["YunhanDescribeServer"] = {"NodeVersions": [14, 24]}
    shown = shell.run("function", "show", "a", "--space", "first")
    assert "runs on" not in shown.stdout
    assert "2026-11-21T02:11:44.462Z" not in shown.stdout, "times are local"


def test_function_delete(shell: Shell, fake: FakeManagement) -> None:
    fake.answers["DeleteFunction"] = {}
    assert shell.run("function", "delete", "greet", "--space", SPACE_ID, "--yes").exit_code == 0
    assert fake.asked("DeleteFunction") == [{"SpaceId": SPACE_ID, "Name": "greet"}]
    result = shell.run("function", "delete", "greet", "--space", SPACE_ID, "--yes", "--json")
    assert json.loads(result.stdout) == {"function": "greet", "deleted": True}
