"""`yunhan platform` and `yunhan user`, against a scripted program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli_support import SPACE_ID, FakeManagement, RefusalError, Shell

USER = "6560f0aa0123456789abcdef"


@pytest.fixture(autouse=True)
def answers(fake: FakeManagement) -> None:
    row = {"AppId": "2021", "Platform": "Alipay", "SignMode": "CERT", "PrivateKey": "****"}
    fake.answers |= {
        "SaveAntOpenPlatformConfig": {},
        "SaveWechatOpenPlatformConfig": {},
        "UpdateDingtalkOpenPlatformConfig": {},
        "AddDingtalkOpenPlatformConfig": {},
        "DeleteWechatOpenPlatformConfig": {},
        "ListOpenPlatformConfig": {"SecretList": [row]},
        "ListDingtalkOpenPlatformConfigs": {"Configs": [{"AppId": "d1", "AppSecret": "****wxyz"}]},
        "YunhanRevokeUser": {"IssuedBefore": "2026-11-21T02:11:44.462Z"},
        "YunhanRevokeTokens": {"IssuedBefore": "2026-11-21T02:11:44.462Z"},
    }


def test_keys_of_alipay_come_from_files(shell: Shell, fake: FakeManagement, tmp_path: Path) -> None:
    for name in ("key", "cert"):
        (tmp_path / name).write_text(f"text of {name}\n")
    key, certificate = str(tmp_path / "key"), str(tmp_path / "cert")
    certificates = ("--app-cert-file", certificate, "--root-cert-file", certificate)
    result = shell.run(
        *("platform", "set", "alipay", "2021", "--space", "first"),
        *("--private-key-file", key, *certificates),
    )
    assert result.exit_code == 0, result.output
    (asked,) = fake.asked("SaveAntOpenPlatformConfig")
    assert asked == {
        "SpaceId": SPACE_ID,
        "AppId": "2021",
        "PrivateKey": "text of key",
        "AppCert": "text of cert",
        "RootCert": "text of cert",
    }


def test_a_secret_is_asked_for_and_not_shown(shell: Shell, fake: FakeManagement) -> None:
    result = shell.run(
        *("platform", "set", "wechat", "wx1", "--space", SPACE_ID), stdin="the-secret\n"
    )
    assert result.exit_code == 0, result.output
    assert fake.asked("SaveWechatOpenPlatformConfig")[0]["AppSecret"] == "the-secret"
    assert "the-secret" not in result.output


def test_dingtalk_is_added_when_there_is_nothing_to_update(
    shell: Shell, fake: FakeManagement, tmp_path: Path
) -> None:
    def refuse(_: dict[str, str]) -> dict[str, Any]:
        raise RefusalError("OpenPlatformConfig.NotFound", status=404)

    (tmp_path / "secret").write_text("s")
    secret = str(tmp_path / "secret")
    set_it = ["platform", "set", "dingtalk", "d1", "--space", SPACE_ID]
    set_it += ["--secret-file", secret, "--json"]
    assert shell.run(*set_it).exit_code == 0
    assert not fake.asked("AddDingtalkOpenPlatformConfig")
    fake.answers["UpdateDingtalkOpenPlatformConfig"] = refuse
    result = shell.run(*set_it)
    assert json.loads(result.stdout) == {"platform": "dingtalk", "app": "d1", "set": True}
    assert fake.asked("AddDingtalkOpenPlatformConfig")[0]["AppSecret"] == "s"


def test_wrong_files_are_wrong_usage(shell: Shell, fake: FakeManagement, tmp_path: Path) -> None:
    good, empty, binary = (tmp_path / name for name in ("good", "empty", "binary"))
    good.write_text("x")
    empty.write_text(" \n")
    binary.write_bytes(b"\xff\xfe")
    for arguments in (
        ("alipay", "a"),
        ("alipay", "a", "--secret-file", str(good)),
        ("wechat", "a", "--private-key-file", str(good)),
        ("wechat", "a", "--secret-file", str(empty)),
        ("wechat", "a", "--secret-file", str(binary)),
        ("taobao", "a"),
    ):
        assert shell.run("platform", "set", *arguments, "--space", SPACE_ID).exit_code == 2
    assert not fake.calls


def test_apps_are_listed_and_deleted(shell: Shell, fake: FakeManagement) -> None:
    result = shell.run("platform", "ls", "--space", SPACE_ID)
    for words in ("alipay", "2021", "CERT", "dingtalk", "****wxyz"):
        assert words in result.stdout
    rows = json.loads(shell.run("platform", "ls", "--space", SPACE_ID, "--json").stdout)
    assert [row["app"] for row in rows] == ["2021", "d1"]
    assert shell.run("platform", "rm", "wechat", "wx1", "--space", SPACE_ID).exit_code == 0
    assert fake.asked("DeleteWechatOpenPlatformConfig") == [{"SpaceId": SPACE_ID, "AppId": "wx1"}]


def test_one_user_or_all_are_revoked(shell: Shell, fake: FakeManagement) -> None:
    result = shell.run("user", "revoke", USER, "--space", "first", "--json")
    assert json.loads(result.stdout)["userId"] == USER
    assert fake.asked("YunhanRevokeUser") == [{"SpaceId": SPACE_ID, "UserId": USER}]
    assert shell.run("user", "revoke", "--all", "--space", "first").exit_code == 0
    assert fake.asked("YunhanRevokeTokens") == [{"SpaceId": SPACE_ID}]
    for arguments in ((), (USER, "--all")):
        assert shell.run("user", "revoke", *arguments, "--space", "first").exit_code == 2
