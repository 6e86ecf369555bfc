"""Deploying a folder on the command line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.unit.cli_support import (
    SPACE_ID,
    FakeManagement,
    RefusalError,
    Shell,
)


def greet_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "greet"
    folder.mkdir()
    (folder / "index.js").write_text("module.exports = async () => 1;\n")
    return folder


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
