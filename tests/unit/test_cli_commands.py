from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli_support import (
    KEY_ID,
    OTHER_SPACE_ID,
    SECRET,
    SPACE_ID,
    FakeManagement,
    RefusalError,
    Shell,
    serving,
)

PEM = "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n"


@pytest.fixture
def fake() -> Iterator[FakeManagement]:
    with serving(FakeManagement()) as fake:
        fake.answers |= {
            "ListSpace": {
                "Count": 2,
                "Spaces": [
                    space_row(SPACE_ID, "first"),
                    space_row(OTHER_SPACE_ID, "云函空间"),
                ],
            },
            "CreateSpace": {"SpaceId": SPACE_ID},
            "DescribeSpaceClientConfig": {
                "SpaceId": SPACE_ID,
                "Name": "first",
                "ApiKey": "client-secret",
                "PrivateKey": PEM,
                "Endpoint": "http://127.0.0.1:8700",
                "FileUploadEndpoint": "127.0.0.1:8700",
            },
            "DescribeFunction": {"Function": function_row("greet")},
            "UpdateFunction": {},
        }
        yield fake


@pytest.fixture
def shell(fake: FakeManagement, tmp_path: Path) -> Shell:
    shell = Shell(tmp_path / "data")
    shell.announce(fake.endpoint)
    return shell


def space_row(space_id: str, name: str) -> dict[str, Any]:
    return {
        "SpaceId": space_id,
        "Name": name,
        "Desc": "",
        "Status": "RUNNING",
        "GmtCreate": 1_795_227_104_462,
    }


def function_row(name: str) -> dict[str, Any]:
    return {
        "Name": name,
        "Desc": "says hello",
        "CreatedAt": "2026-11-21T02:11:44.462Z",
        "ModifiedAt": "2026-11-21T02:11:44.462Z",
        "Spec": {
            "Runtime": "Node.js 14",
            "Memory": "512 MB",
            "Timeout": "5s",
            "InstanceConcurrency": 2,
        },
    }


def greet_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "greet"
    folder.mkdir()
    (folder / "index.js").write_text("module.exports = async () => 1;\n")
    return folder


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
    assert "yunhan up" in result.stderr


# --- reaching the program -----------------------------------------------------------------------


def test_no_running_program_is_exit_code_3(tmp_path: Path) -> None:
    result = Shell(tmp_path).run("space", "list")
    assert result.exit_code == 3
    assert "yunhan up" in result.stderr


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


def test_a_misspelt_setting_is_exit_code_2(shell: Shell) -> None:
    shell.environ["YUNHAN_SLOT"] = "3"
    result = shell.run("config", "show")
    assert result.exit_code == 2
    assert "YUNHAN_SLOTS" in result.stderr


def test_a_missing_option_is_exit_code_2(shell: Shell) -> None:
    assert shell.run("invoke", "greet").exit_code == 2


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


def test_function_delete(shell: Shell, fake: FakeManagement) -> None:
    fake.answers["DeleteFunction"] = {}
    assert shell.run("function", "delete", "greet", "--space", SPACE_ID, "--yes").exit_code == 0
    assert fake.asked("DeleteFunction") == [{"SpaceId": SPACE_ID, "Name": "greet"}]


# --- deploy -------------------------------------------------------------------------------------


def deployable(fake: FakeManagement) -> None:
    fake.answers |= {
        "CreateFunctionDeployment": lambda _: {
            "DeploymentId": "dep-1",
            "UploadSignedUrl": f"{fake.endpoint}/oss/dep-1",
        },
        "CreateFunction": {},
        "DeployFunction": {},
        "ListFunctionDeployment": {
            "DataList": [
                {"DeploymentId": "dep-1", "VersionNo": "3", "Status": {"Status": "DEPLOY_SUCCESS"}}
            ]
        },
    }


def test_deploy_uploads_the_zip_and_makes_it_live(
    shell: Shell, fake: FakeManagement, tmp_path: Path
) -> None:
    deployable(fake)
    result = shell.run("deploy", str(greet_folder(tmp_path)), "--space", "first", "--json")
    assert result.exit_code == 0, result.output
    [uploaded] = fake.uploads
    assert json.loads(result.stdout) == {
        "function": "greet",
        "deploymentId": "dep-1",
        "digest": hashlib.sha256(uploaded).hexdigest(),
        "versionNo": "3",
    }
    assert fake.asked("DeployFunction") == [{"SpaceId": SPACE_ID, "DeploymentId": "dep-1"}]
    assert fake.asked("CreateFunction") == []


def test_deploy_makes_a_missing_function(
    shell: Shell, fake: FakeManagement, tmp_path: Path
) -> None:
    deployable(fake)
    deployment = fake.answers["CreateFunctionDeployment"]

    def only_when_made(form: dict[str, str]) -> Any:
        if not fake.asked("CreateFunction"):
            raise RefusalError("FunctionNotFound", status=404)
        return deployment(form) if callable(deployment) else deployment

    fake.answers["CreateFunctionDeployment"] = only_when_made
    folder = greet_folder(tmp_path)
    result = shell.run("deploy", str(folder), "--space", SPACE_ID, "--name", "renamed")
    assert result.exit_code == 0, result.output
    assert fake.asked("CreateFunction") == [{"SpaceId": SPACE_ID, "Name": "renamed"}]
    assert "renamed (a new function)" in result.stderr


def test_deploy_waits_until_the_deployment_is_live(
    shell: Shell, fake: FakeManagement, tmp_path: Path
) -> None:
    deployable(fake)
    states = iter(["UPLOADED", "DEPLOY_SUCCESS"])

    def listed(_form: dict[str, str]) -> dict[str, Any]:
        state = {"Status": next(states), "Label": ""}
        return {"DataList": [{"DeploymentId": "dep-1", "VersionNo": "3", "Status": state}]}

    fake.answers["ListFunctionDeployment"] = listed
    assert shell.run("deploy", str(greet_folder(tmp_path)), "--space", "first").exit_code == 0
    assert next(states, None) is None


def test_deploy_tells_why_a_deployment_failed(
    shell: Shell, fake: FakeManagement, tmp_path: Path
) -> None:
    deployable(fake)
    state = {"Status": "DEPLOY_FAILED", "Label": "the zip has no index.js"}
    fake.answers["ListFunctionDeployment"] = {
        "DataList": [{"DeploymentId": "dep-1", "VersionNo": "3", "Status": state}]
    }
    result = shell.run("deploy", str(greet_folder(tmp_path)), "--space", "first")
    assert result.exit_code == 1
    assert "the zip has no index.js" in result.stderr


def test_deploy_of_a_folder_without_entry_point(
    shell: Shell, fake: FakeManagement, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    result = shell.run("deploy", str(tmp_path / "empty"), "--space", "first")
    assert result.exit_code == 1
    assert "index.js" in result.stderr
    assert "CreateFunctionDeployment" not in [action for action, _ in fake.calls]


# --- invoke -------------------------------------------------------------------------------------


def test_invoke_prints_the_answer_as_json(shell: Shell, fake: FakeManagement) -> None:
    fake.answers["YunhanInvoke"] = {
        "RequestId": "req-1",
        "Success": True,
        "Outcome": "ok",
        "Result": '{"text":"你好"}',
        "Bill": {"QueueMs": 0.1, "Cold": True, "RunMs": 2.5, "PeakMemoryMb": None},
    }
    result = shell.run("invoke", "greet", "--space", "first", "--args", '{"a": 1}', "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "success": True,
        "requestId": "req-1",
        "outcome": "ok",
        "result": {"text": "你好"},
        "bill": {"queueMs": 0.1, "cold": True, "runMs": 2.5, "peakMemoryMb": None},
    }
    assert fake.asked("YunhanInvoke") == [
        {"SpaceId": SPACE_ID, "Name": "greet", "Args": '{"a": 1}'}
    ]


def test_invoke_of_a_failing_function_is_exit_code_1(shell: Shell, fake: FakeManagement) -> None:
    fake.answers["YunhanInvoke"] = {
        "RequestId": "req-1",
        "Success": False,
        "Outcome": "timeout",
        "Error": {"Code": "RequestTimeout", "Message": "longer than 5 s", "Blame": "function"},
        "Bill": {"RunMs": 5000.0},
    }
    result = shell.run("invoke", "greet", "--space", "first", "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert answer["error"] == {
        "code": "RequestTimeout",
        "message": "longer than 5 s",
        "blame": "function",
    }
    assert "result" not in answer
    told = shell.run("invoke", "greet", "--space", "first")
    assert told.stdout == ""
    assert "longer than 5 s" in told.stderr
    assert "yunhan logs greet --space first --request-id req-1" in told.stderr


def test_invoke_refuses_arguments_that_are_not_json(shell: Shell, fake: FakeManagement) -> None:
    result = shell.run("invoke", "greet", "--space", "first", "--args", "{a: 1}")
    assert result.exit_code == 2
    assert fake.calls == []


# --- settings -----------------------------------------------------------------------------------


def test_config_show_names_value_source_and_unit_and_hides_secrets(shell: Shell) -> None:
    shell.environ |= {"YUNHAN_ACCESS_KEY_ID": "a", "YUNHAN_ACCESS_KEY_SECRET": "very-secret"}
    result = shell.run("config", "show", "--json")
    rows = {row["variable"]: row for row in json.loads(result.stdout)}
    assert rows["YUNHAN_SLOTS"]["source"] == "default"
    assert rows["YUNHAN_DATA_DIR"]["source"] == "environment"
    assert rows["YUNHAN_QUEUE_WAIT_S"]["unit"] == "s"
    assert "very-secret" not in result.stdout
    assert "YUNHAN_SLOTS" in shell.run("config", "show").stdout


def test_help_lists_every_command(shell: Shell) -> None:
    result = shell.run("--help")
    assert result.exit_code == 0
    for name in ("up", "space", "keys", "deploy", "function", "invoke", "logs", "doctor", "config"):
        assert f"\n  {name} " in result.stdout
