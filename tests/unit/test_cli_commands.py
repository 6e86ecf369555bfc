from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.data_dir import DataDir
from tests.unit.cli_support import (
    KEY_ID,
    OTHER_SPACE_ID,
    SECRET,
    SPACE_ID,
    FakeManagement,
    RefusalError,
    Shell,
    function_row,
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
            "YunhanDescribeServer": {"NodeVersions": [20, 24]},
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
    assert fake.asked("CreateFunction") == [
        {"SpaceId": SPACE_ID, "Name": "renamed", "Runtime": "nodejs24"}
    ]
    assert "renamed (a new function)" in result.stderr


def test_a_bad_name_is_quoted_whole_with_the_way_out(
    shell: Shell, fake: FakeManagement, tmp_path: Path
) -> None:
    def refuse(form: dict[str, str]) -> dict[str, str]:
        if form["Action"] == "CreateFunctionDeployment":
            raise RefusalError("FunctionNotFound", status=404)
        raise RefusalError("InvalidParameter.Name", "a name has 1 to 30 characters; '7up' has not")

    fake.answers |= {"CreateFunctionDeployment": refuse, "CreateFunction": refuse}
    name = "7" + "x" * 40
    result = shell.run("deploy", str(greet_folder(tmp_path)), "--space", "first", "--name", name)
    assert result.exit_code == 1
    assert f"'{name}' is no name for a function: a name has 1 to 30 characters (" in result.stderr
    assert "--name" in result.stderr


def test_deploy_takes_a_folder_around_the_functions_folder(
    shell: Shell, fake: FakeManagement, tmp_path: Path
) -> None:
    deployable(fake)
    greet_folder(greet_folder(tmp_path).rename(tmp_path / "outer"))
    (tmp_path / "outer" / "index.js").unlink()
    (tmp_path / "outer").rename(tmp_path / "greet")
    result = shell.run("deploy", str(tmp_path / "greet"), "--space", "first")
    assert result.exit_code == 0, result.output
    assert len(fake.uploads) == 1


def test_deploy_of_one_file_names_its_folder(shell: Shell, tmp_path: Path) -> None:
    folder = greet_folder(tmp_path)
    result = shell.run("deploy", str(folder / "index.js"), "--space", "first")
    assert result.exit_code == 1
    assert f"name its folder: {folder}\n" in result.stderr


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
        "Bill": {
            "QueueMs": 0.1,
            "Cold": True,
            "RunMs": 2.5,
            "PeakMemoryMb": None,
            "EgressConnections": 2,
            "EgressRefused": 0,
            "EgressBytes": 1234,
            "Calls": {"Function": 0, "Db": 3},
        },
    }
    result = shell.run("invoke", "greet", "--space", "first", "--args", '{"a": 1}', "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "success": True,
        "requestId": "req-1",
        "outcome": "ok",
        "result": {"text": "你好"},
        "bill": {
            "queueMs": 0.1,
            "cold": True,
            "runMs": 2.5,
            "peakMemoryMb": None,
            "egressConnections": 2,
            "egressRefused": 0,
            "egressBytes": 1234,
            "calls": {"function": 0, "db": 3},
        },
    }
    assert fake.asked("YunhanInvoke") == [
        {"SpaceId": SPACE_ID, "Name": "greet", "Args": '{"a": 1}'}
    ]
    told = shell.run("invoke", "greet", "--space", "first").stderr
    assert "2 connections, 1234 bytes over the network, 3 db calls" in told
    answer = fake.answers["YunhanInvoke"]
    assert isinstance(answer, dict)
    answer["Bill"] = {"EgressConnections": 1, "EgressRefused": 1, "Calls": {"Http": 1}}
    told = shell.run("invoke", "greet", "--space", "first").stderr
    assert told.endswith(": 1 connection, 1 connection refused, 1 http call\n")


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


def test_invoke_names_what_was_thrown(shell: Shell, fake: FakeManagement) -> None:
    error = {"Code": "FunctionBizError", "Message": "no", "Blame": "function", "Name": "TypeError"}
    fake.answers["YunhanInvoke"] = {
        "RequestId": "req-1",
        "Success": False,
        "Outcome": "function_error",
        "Error": error,
    }
    told = shell.run("invoke", "greet", "--space", "first").stderr
    assert told.startswith("function_error: TypeError: no (FunctionBizError, blame: function)")


def test_ctrl_c_says_that_the_call_goes_on(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("runtime.cli.invoke.invoke_function", interrupt)
    result = shell.run("invoke", "greet", "--space", "first")
    assert result.exit_code == 130
    assert "The call goes on; its log: yunhan logs greet --space first" in result.stderr


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
