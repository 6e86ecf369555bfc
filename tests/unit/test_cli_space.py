"""Spaces, their keys and the keys of the management API on the command line."""

from __future__ import annotations

import json
from pathlib import Path

from tests.unit.cli_support import (
    KEY_ID,
    OTHER_SPACE_ID,
    PEM,
    SECRET,
    SPACE_ID,
    FakeManagement,
    Shell,
    space_row,
)

# --- spaces and keys --------------------------------------------------------------------------


def test_space_create_prints_one_line_of_json(shell: Shell, fake: FakeManagement) -> None:
    result = shell.run("space", "create", "first", "--json")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("\n") == 1
    assert json.loads(result.stdout) == {
        "spaceId": SPACE_ID,
        "name": "first",
        "clientSecret": "client-secret",
        "serverSecret": PEM,
        "endpoint": "http://127.0.0.1:8700",
    }
    assert fake.asked("CreateSpace") == [{"Name": "first"}]
    assert fake.asked("DescribeSpaceClientConfig") == [{"SpaceId": SPACE_ID, "Detail": "true"}]


def test_the_private_key_is_shown_to_people_only_when_they_ask(shell: Shell) -> None:
    for command in (["create", "first"], ["show", "first"]):
        told = shell.run("space", *command).stdout
        assert "client-secret" in told
        assert "PRIVATE KEY" not in told
        assert PEM in shell.run("space", *command, "--secrets").stdout
    told = json.loads(shell.run("space", "show", "first", "--json").stdout)
    assert told["clientSecret"] == "client-secret"
    assert "serverSecret" not in told
    told = json.loads(shell.run("space", "show", "first", "--json", "--secrets").stdout)
    assert told["serverSecret"] == PEM


def test_a_name_that_another_space_has_is_a_warning(shell: Shell, fake: FakeManagement) -> None:
    assert "warning" not in shell.run("space", "create", "first").stderr
    fake.answers["ListSpace"] = {
        "Spaces": [space_row(SPACE_ID, "first"), space_row(OTHER_SPACE_ID, "first")]
    }
    warned = shell.run("space", "create", "first").stderr
    assert warned.startswith("warning: first is also the name of")
    assert OTHER_SPACE_ID in warned
    assert SPACE_ID not in warned


def test_space_list_aligns_wide_characters(shell: Shell) -> None:
    lines = shell.run("space", "list").stdout.splitlines()
    assert lines[1].index(SPACE_ID) == len("first") + 5  # 云函空间 takes 8 columns, and 2 between
    assert lines[2].startswith(f"云函空间  {OTHER_SPACE_ID}")


def test_space_pause_and_resume_by_name(shell: Shell, fake: FakeManagement) -> None:
    fake.answers["UpdateSpace"] = {}
    assert shell.run("space", "pause", "first").exit_code == 0
    assert shell.run("space", "resume", "first").exit_code == 0
    assert fake.asked("UpdateSpace") == [
        {"SpaceId": SPACE_ID, "Status": "PAUSED"},
        {"SpaceId": SPACE_ID, "Status": "RUNNING"},
    ]


def test_commands_that_change_a_space_have_json(shell: Shell, fake: FakeManagement) -> None:
    fake.answers |= {"UpdateSpace": {}, "DeleteSpace": {}}
    for command, told in (
        (["pause", "first"], {"status": "PAUSED"}),
        (["resume", "first"], {"status": "RUNNING"}),
        (["delete", "first", "--yes"], {"deleted": True}),
    ):
        result = shell.run("space", *command, "--json")
        assert json.loads(result.stdout) == {"spaceId": SPACE_ID, **told}
        assert result.stderr == ""


def test_the_question_before_a_deletion_is_not_in_the_result(shell: Shell) -> None:
    assert shell.run("space", "delete", "first", "--json", stdin="n\n").stdout == ""


def test_space_delete_asks_first(shell: Shell, fake: FakeManagement) -> None:
    fake.answers["DeleteSpace"] = {}
    assert shell.run("space", "delete", "first", stdin="n\n").exit_code == 1
    assert fake.asked("DeleteSpace") == []
    assert shell.run("space", "delete", "first", "--yes").exit_code == 0
    assert fake.asked("DeleteSpace") == [{"SpaceId": SPACE_ID}]


def test_reset_secret_shows_the_new_keys(shell: Shell, fake: FakeManagement) -> None:
    fake.answers["ResetServerSecret"] = {}
    result = shell.run("space", "reset-secret", SPACE_ID, "--yes", "--json")
    assert json.loads(result.stdout)["serverSecret"] == PEM
    assert [action for action, _ in fake.calls] == [
        "ResetServerSecret",
        "DescribeSpaceClientConfig",
    ]


def test_an_unknown_space_name_says_what_to_do(shell: Shell) -> None:
    result = shell.run("space", "show", "nowhere")
    assert result.exit_code == 1
    assert "there is no space nowhere" in result.stderr
    assert "yunhan space create nowhere" in result.stderr


def test_an_ambiguous_space_name_lists_the_ids(shell: Shell, fake: FakeManagement) -> None:
    fake.answers["ListSpace"] = {
        "Spaces": [space_row(SPACE_ID, "twin"), space_row(OTHER_SPACE_ID, "twin")]
    }
    result = shell.run("function", "list", "--space", "twin")
    assert result.exit_code == 1
    assert SPACE_ID in result.stderr
    assert OTHER_SPACE_ID in result.stderr


def test_keys_work_while_no_program_runs(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.announce("http://127.0.0.1:1")
    (tmp_path / "running.json").unlink()
    result = shell.run("keys", "--json")
    assert json.loads(result.stdout) == {"accessKeyId": KEY_ID, "accessKeySecret": SECRET}
    assert KEY_ID in shell.run("keys").stdout


def test_keys_of_the_settings_win(shell: Shell) -> None:
    shell.environ |= {"YUNHAN_ACCESS_KEY_ID": "mine", "YUNHAN_ACCESS_KEY_SECRET": "s3"}
    result = shell.run("keys", "--json")
    assert json.loads(result.stdout) == {"accessKeyId": "mine", "accessKeySecret": "s3"}


def test_half_a_key_in_the_settings_is_wrong_usage(shell: Shell) -> None:
    shell.environ["YUNHAN_ACCESS_KEY_ID"] = "mine"
    result = shell.run("keys")
    assert result.exit_code == 2
    assert "YUNHAN_ACCESS_KEY_SECRET" in result.stderr


def test_no_key_yet_says_what_makes_one(tmp_path: Path) -> None:
    result = Shell(tmp_path).run("keys")
    assert result.exit_code == 1
    for named in ("yunhan up", "yunhan gateway", "--endpoint", "YUNHAN_ACCESS_KEY_ID"):
        assert named in result.stderr
