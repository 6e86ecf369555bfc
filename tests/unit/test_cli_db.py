"""`yunhan db run` and `yunhan db rules`, over the real actions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli_database_support import Program
from tests.unit.cli_support import SPACE_ID, FakeManagement, Shell

DOCUMENT = '{"db": {"posts": {".read": true, ".write": false}, "*": {"*": false}}}'


@pytest.fixture(autouse=True)
def program(fake: FakeManagement) -> Program:
    program = Program(fake, SPACE_ID)
    program.databases.put(SPACE_ID, "users", '{"_id":"云"}')
    return program


def test_a_command_shows_its_result(shell: Shell) -> None:
    command = '{"command": "collections"}'
    result = shell.run("db", "run", "first", command)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == ["users"]
    assert result.stderr == "affectedDocs: 1\n"
    result = shell.run("db", "run", SPACE_ID, "-", "--json", stdin=command)
    assert json.loads(result.stdout) == {"affectedDocs": 1, "result": ["users"]}


def test_an_error_of_the_database_has_its_number(shell: Shell) -> None:
    command = '{"command": "count", "collection": "none", "query": {}}'
    result = shell.run("db", "run", SPACE_ID, command)
    assert result.exit_code == 1
    assert "NamespaceNotFound" in result.stderr
    result = shell.run("db", "run", SPACE_ID, command, "--json")
    assert json.loads(result.stdout)["error"]["code"] == "26"


def test_rules_are_set_for_one_and_for_all(shell: Shell, tmp_path: Path) -> None:
    result = shell.run("db", "rules", "set", SPACE_ID, "users", "--policy", "private")
    assert result.exit_code == 0, result.output
    assert "The rule of users is set: PRIVATE." in result.stderr
    result = shell.run("db", "rules", "show", SPACE_ID, "users", "--json")
    shown = json.loads(result.stdout)
    assert (shown["collection"], shown["policy"]) == ("users", "PRIVATE")
    assert "request.auth.userId==resource.auth.userId" in shown["rule"]

    (tmp_path / "rules.json").write_text(DOCUMENT)
    result = shell.run("db", "rules", "set", SPACE_ID, "--file", str(tmp_path / "rules.json"))
    assert (result.exit_code, result.stderr) == (0, "Rules are set: 2.\n")
    result = shell.run("db", "rules", "show", SPACE_ID)
    assert json.loads(result.stdout) == json.loads(DOCUMENT)
    # what is shown can be set again
    result = shell.run("db", "rules", "set", SPACE_ID, "--file", "-", "--json", stdin=result.stdout)
    assert json.loads(result.stdout) == {
        "rules": [
            {
                "collection": "posts",
                "policy": "EXTENDED",
                "rule": '{".read": true, ".write": false}',
            },
            {"collection": "*", "policy": "EXTENDED", "rule": '{"*": false}'},
        ]
    }


def test_an_own_rule_of_one_collection(shell: Shell) -> None:
    result = shell.run("db", "rules", "set", SPACE_ID, "a b", "--file", "-", stdin='{"*": true}')
    assert result.exit_code == 0, result.output
    result = shell.run("db", "rules", "show", SPACE_ID, "a b")
    assert (result.stdout, result.stderr) == ('{"*": true}\n', "Policy: EXTENDED\n")
    result = shell.run("db", "rules", "show", SPACE_ID, "other")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "other has no rule of its own" in result.stderr


def test_a_fault_in_a_rule_is_told_with_its_place(shell: Shell) -> None:
    result = shell.run("db", "rules", "set", SPACE_ID, "a", "--file", "-", stdin='{\n".read": 1}')
    assert result.exit_code == 1
    assert "line 2, column 10" in result.stderr


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        (("a",), ""),
        (("a", "--policy", "PRIVATE", "--file", "-"), ""),
        (("--policy", "PRIVATE"), ""),
        (("a", "--policy", "EXTENDED"), ""),
        (("a", "--file", "missing.json"), ""),
    ],
)
def test_wrong_usage(shell: Shell, words: tuple[str, ...], stdin: str) -> None:
    assert shell.run("db", "rules", "set", SPACE_ID, *words, stdin=stdin).exit_code == 2


def test_an_empty_file_is_no_rule(shell: Shell) -> None:
    result = shell.run("db", "rules", "set", SPACE_ID, "--file", "-", "--json", stdin=" \n")
    assert json.loads(result.stdout)["error"]["code"] == "NoRuleFile"
