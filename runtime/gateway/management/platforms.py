"""Actions on the keys of a space's apps at the platforms (spec: management API §4, open platform
configuration).

What the original answers of secrets is not documented beyond the fields. Here private keys and secrets never
come back: an app secret shows its last characters, so that people can tell two apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.gateway.management.answers import iso
from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.parameters import Parameters
from runtime.messages import Provider
from runtime.ports import SignMode
from runtime.services.platform_keys import SavedKeys, alipay_keys, secret_keys

_KEY_TEXTS = ("PrivateKey", "PublicKey", "AppCert", "PublicCert", "RootCert")
_SIGN_MODES = {mode.value: mode for mode in SignMode}
_PLATFORMS = {"ALIPAY": Provider.ALIPAY, "WECHAT": Provider.WECHAT}
_NAMES = {Provider.ALIPAY: "Alipay", Provider.WECHAT: "Wechat"}
_MASK = "****"
_SHOWN = 4
_SHOWN_OF = 16
"""Of a shorter secret nothing is shown: four characters would be too much of it."""


async def save_ant_open_platform_config(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """Keys as PEM or bare Base64, certificates as PEM."""
    space_id, app_id = parameters.needed("SpaceId"), parameters.needed("AppId")
    keys = alipay_keys(
        app_id,
        sign_mode=parameters.one_of("SignMode", _SIGN_MODES),
        texts={name: parameters.text(name) for name in _KEY_TEXTS},
    )
    await deps.platform_keys.save(space_id, Provider.ALIPAY, keys)
    return {}


async def save_wechat_open_platform_config(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """Also replaces what is there."""
    return await _save_secret(deps, parameters, Provider.WECHAT, present=None)


async def add_dingtalk_open_platform_config(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """Refused when the app has keys."""
    return await _save_secret(deps, parameters, Provider.DINGTALK, present=False)


async def update_dingtalk_open_platform_config(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """Refused when the app has no keys."""
    return await _save_secret(deps, parameters, Provider.DINGTALK, present=True)


async def delete_ant_open_platform_config(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """With what other apps entrusted to it."""
    return await _delete(deps, parameters, Provider.ALIPAY)


async def delete_wechat_open_platform_config(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """Its users cannot log in any more."""
    return await _delete(deps, parameters, Provider.WECHAT)


async def delete_dingtalk_open_platform_config(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """Its users cannot log in any more."""
    return await _delete(deps, parameters, Provider.DINGTALK)


async def list_open_platform_config(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """`Platform` is Alipay or Wechat; absent = both."""
    wanted = parameters.one_of("Platform", _PLATFORMS)
    space_id = parameters.needed("SpaceId")
    saved = await deps.platform_keys.list(space_id, *((wanted,) if wanted else _NAMES))
    return {"SecretList": [_row(space_id, each) for each in saved]}


async def list_dingtalk_open_platform_configs(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """Oldest first."""
    saved = await deps.platform_keys.list(parameters.needed("SpaceId"), Provider.DINGTALK)
    return {
        "Configs": [
            {
                "AppId": each.config.app_id,
                "AppSecret": masked(each.stored.keys.app_secret if each.stored else ""),
                "CreateTime": iso(each.config.created_ms),
                "UpdateTime": iso(each.config.modified_ms),
            }
            for each in saved
        ]
    }


async def save_app_auth_token(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """The app `AppId` lets the service provider's app `IsvAppId` act for it; the keys of that one come
    first."""
    await deps.platform_keys.entrust(
        parameters.needed("SpaceId"),
        isv_app_id=parameters.needed("IsvAppId"),
        app_id=parameters.needed("AppId"),
        token=parameters.needed("AppAuthToken"),
    )
    return {}


def masked(secret: str) -> str:
    """What is told of a secret; empty when there is none."""
    if not secret:
        return ""
    return f"{_MASK}{secret[-_SHOWN:]}" if len(secret) >= _SHOWN_OF else _MASK


async def _save_secret(
    deps: ManagementDeps, parameters: Parameters, provider: Provider, *, present: bool | None
) -> Mapping[str, Any]:
    space_id = parameters.needed("SpaceId")
    keys = secret_keys(parameters.needed("AppId"), parameters.needed("AppSecret"))
    await deps.platform_keys.save(space_id, provider, keys, present=present)
    return {}


async def _delete(
    deps: ManagementDeps, parameters: Parameters, provider: Provider
) -> Mapping[str, Any]:
    await deps.platform_keys.delete(
        parameters.needed("SpaceId"), provider, parameters.needed("AppId")
    )
    return {}


def _row(space_id: str, saved: SavedKeys) -> dict[str, str]:
    """Every field is a text. Of keys that do not open only the app is known."""
    row = {
        "SpaceId": space_id,
        "Platform": _NAMES[saved.config.provider],
        "AppId": saved.config.app_id,
    }
    if saved.stored is None:
        return row
    keys = saved.stored.keys
    return {
        **row,
        "AppSecret": masked(keys.app_secret),
        "PrivateKey": _MASK if keys.private_key else "",
        "PublicKey": keys.public_key,
        "AppCert": keys.app_cert,
        "PublicCert": keys.public_cert,
        "RootCert": keys.root_cert,
        "SignMode": keys.sign_mode.value if saved.config.provider is Provider.ALIPAY else "",
    }


ACTIONS = {
    "SaveAntOpenPlatformConfig": save_ant_open_platform_config,
    "DeleteAntOpenPlatformConfig": delete_ant_open_platform_config,
    "SaveWechatOpenPlatformConfig": save_wechat_open_platform_config,
    "DeleteWechatOpenPlatformConfig": delete_wechat_open_platform_config,
    "AddDingtalkOpenPlatformConfig": add_dingtalk_open_platform_config,
    "UpdateDingtalkOpenPlatformConfig": update_dingtalk_open_platform_config,
    "DeleteDingtalkOpenPlatformConfig": delete_dingtalk_open_platform_config,
    "ListDingtalkOpenPlatformConfigs": list_dingtalk_open_platform_configs,
    "ListOpenPlatformConfig": list_open_platform_config,
    "SaveAppAuthToken": save_app_auth_token,
}
