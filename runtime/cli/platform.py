"""`yunhan platform`: the keys with which users of Alipay, WeChat and DingTalk log in to a space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from runtime.cli.client import ManagementClient, Parameter
from runtime.cli.errors import RemoteError
from runtime.cli.lookup import find_space_id
from runtime.cli.options import json_option, remote_command, space_option
from runtime.cli.output import note, print_json, print_table

F = TypeVar("F", bound=Callable[..., Any])

_ACTION_NAMES = {"alipay": "Ant", "wechat": "Wechat", "dingtalk": "Dingtalk"}
_FILE_MAX = 64 * 1024
"""Bytes: the largest certificates have half of it."""
_platform_argument = click.argument(
    "platform_name", metavar="alipay|wechat|dingtalk", type=click.Choice([*_ACTION_NAMES])
)
_app_argument = click.argument("app", metavar="APP")


def _file_option(name: str, text: str) -> Callable[[F], F]:
    kind = click.Path(exists=True, dir_okay=False, path_type=Path)
    return click.option(f"--{name}-file", type=kind, metavar="FILE", help=text)


@click.group
def platform() -> None:
    """Apps at Alipay, WeChat and DingTalk whose users may log in."""


@platform.command("set", short_help="Store the keys of an app.")
@_platform_argument
@_app_argument
@space_option
@_file_option("secret", "WeChat, DingTalk: the app's secret; without it you are asked.")
@_file_option("private-key", "Alipay: the app's private key.")
@_file_option("public-key", "Alipay: the platform's public key, to check its answers.")
@_file_option("app-cert", "Alipay with certificates: that of the app.")
@_file_option("public-cert", "Alipay with certificates: that of the platform.")
@_file_option("root-cert", "Alipay with certificates: the platform's roots.")
@json_option
@remote_command
def set_(  # noqa: PLR0917  # click passes options by name
    client: ManagementClient,
    platform_name: str,
    app: str,
    space: str,
    secret_file: Path | None,
    private_key_file: Path | None,
    public_key_file: Path | None,
    app_cert_file: Path | None,
    public_cert_file: Path | None,
    root_cert_file: Path | None,
    as_json: bool,
) -> None:
    """Store the keys of APP (its id at the PLATFORM), instead of those that are there. Keys are read from
    files, never from the command line, which other users of this machine can see."""
    files = {
        "PrivateKey": private_key_file,
        "PublicKey": public_key_file,
        "AppCert": app_cert_file,
        "PublicCert": public_cert_file,
        "RootCert": root_cert_file,
    }
    given = {name: _text_in(file) for name, file in files.items() if file}
    if platform_name == "alipay":
        if secret_file or not private_key_file:
            raise click.UsageError("alipay takes --private-key-file, and no --secret-file")
    elif given:
        raise click.UsageError(f"{platform_name} takes --secret-file only")
    else:
        given = {"AppSecret": _text_in(secret_file) if secret_file else _asked()}
    parameters: dict[str, Parameter] = {
        "SpaceId": find_space_id(client, space),
        "AppId": app,
        **given,
    }
    _save(client, platform_name, parameters)
    _told(as_json, platform_name, app, "set", f"Users of {app} can log in.")


@platform.command("ls")
@space_option
@json_option
@remote_command
def ls(client: ManagementClient, space: str, as_json: bool) -> None:
    """List the apps; of secrets only the last characters are shown."""
    rows = _rows(client, find_space_id(client, space))
    if as_json:
        print_json(rows)
        return
    print_table(
        ("Platform", "App", "Signs with", "Secret"),
        [(row["platform"], row["app"], row["signMode"], row["secret"]) for row in rows],
    )


@platform.command("rm")
@_platform_argument
@_app_argument
@space_option
@json_option
@remote_command
def rm(client: ManagementClient, platform_name: str, app: str, space: str, as_json: bool) -> None:
    """Delete the keys of APP: its users cannot log in any more. Who is in stays until the token ends
    (`yunhan user revoke --all` ends them all)."""
    parameters = {"SpaceId": find_space_id(client, space), "AppId": app}
    client.call(f"Delete{_ACTION_NAMES[platform_name]}OpenPlatformConfig", parameters)
    _told(as_json, platform_name, app, "deleted", f"The keys of {app} are deleted.")


def _save(client: ManagementClient, name: str, parameters: dict[str, Parameter]) -> None:
    if name != "dingtalk":
        client.call(f"Save{_ACTION_NAMES[name]}OpenPlatformConfig", parameters)
        return
    try:
        client.call("UpdateDingtalkOpenPlatformConfig", parameters)
    except RemoteError as error:
        if error.code != "OpenPlatformConfig.NotFound":
            raise
        client.call("AddDingtalkOpenPlatformConfig", parameters)


def _rows(client: ManagementClient, space_id: str) -> Sequence[dict[str, str]]:
    parameters: dict[str, Parameter] = {"SpaceId": space_id}
    listed = client.call("ListOpenPlatformConfig", parameters)["SecretList"]
    of_dingtalk = client.call("ListDingtalkOpenPlatformConfigs", parameters)["Configs"]
    return [
        {
            "platform": each.get("Platform", "Dingtalk").lower(),
            "app": each["AppId"],
            "signMode": each.get("SignMode", ""),
            "secret": each.get("AppSecret") or each.get("PrivateKey", ""),
        }
        for each in [*listed, *of_dingtalk]
    ]


def _text_in(file: Path) -> str:
    """Raises click.UsageError for what is no text of a key's size."""
    with file.open("rb") as source:
        content = source.read(_FILE_MAX + 1)
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(content) > _FILE_MAX:
        raise click.UsageError(f"{file} is empty, too large or no text")
    return text


def _asked() -> str:
    return str(click.prompt("App secret", hide_input=True, err=True)).strip()


def _told(as_json: bool, platform_name: str, app: str, done: str, text: str) -> None:
    if as_json:
        print_json({"platform": platform_name, "app": app, done: True})
    else:
        note(text)
