"""Users of platforms on loopback, in apps of one space of a running program, through the official SDKs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.harness.management import Management
from tests.harness.platform_servers import PlatformServers, key_pair
from tests.harness.program import Program

APPS = {"alipay": "2021000000000001", "wechat": "wx0001", "dingtalk": "ding01"}
"""By host."""
OTHER_WECHAT_APP = "wx0002"
SECRETS = {"wechat": "wechat-secret-0123456789abcdef", "dingtalk": "dingtalk-secret-0123"}


@dataclass(frozen=True)
class UserStage:
    """A program, the platforms that it asks, and one space with keys of three apps."""

    program: Program
    servers: PlatformServers
    management: Management
    run_sdk: Callable[..., list[dict[str, Any]]]
    space: tuple[str, str]

    def as_user(
        self,
        user: str,
        host: str,
        *steps: list[Any],
        app: str | None = None,
        space: tuple[str, str] | None = None,
    ) -> list[dict[str, Any]]:
        """What the steps gave in an app that `user` of the host's platform opened; nobody, when empty."""
        self.servers.logging_in = user
        space_id, client_secret = space or self.space
        return self.run_sdk(
            "run.cjs",
            host=host,
            appId=app or APPS[host],
            spaceId=space_id,
            clientSecret=client_secret,
            steps=[["authorize", {"authProvider": f"{host}_openapi"}], *steps],
        )

    def user_of(self, user: str, host: str, **where: Any) -> dict[str, Any]:
        """What `getInfo` tells the app."""
        [authorized, told] = self.as_user(user, host, ["getInfo"], **where)
        assert authorized == {"value": {"success": True}}
        assert told["value"]["success"] is True
        return dict(told["value"]["result"]["user"])


def save_keys(stage: UserStage, space_id: str) -> None:
    """By the actions of the management API, as its own SDK sends them."""
    key = stage.program.access_key()
    app = key_pair("app")
    wechat = {"SpaceId": space_id, "AppSecret": SECRETS["wechat"]}
    steps: list[list[Any]] = [
        [
            "SaveAntOpenPlatformConfig",
            {
                "SpaceId": space_id,
                "AppId": APPS["alipay"],
                "PrivateKey": app.private_base64,
                "PublicKey": key_pair("alipay").public_base64,
            },
        ],
        ["SaveWechatOpenPlatformConfig", {**wechat, "AppId": APPS["wechat"]}],
        ["SaveWechatOpenPlatformConfig", {**wechat, "AppId": OTHER_WECHAT_APP}],
        [
            "AddDingtalkOpenPlatformConfig",
            {"SpaceId": space_id, "AppId": APPS["dingtalk"], "AppSecret": SECRETS["dingtalk"]},
        ],
        ["ListOpenPlatformConfig", {"SpaceId": space_id}],
        ["ListDingtalkOpenPlatformConfigs", {"SpaceId": space_id}],
    ]
    results = stage.run_sdk(
        "pop_core.cjs", accessKeyId=key.key_id, accessKeySecret=key.secret, steps=steps
    )
    assert all("value" in each for each in results), results
    shown = json.dumps(results)
    assert all(app_id in shown for app_id in (*APPS.values(), OTHER_WECHAT_APP))
    assert not any(secret in shown for secret in (*SECRETS.values(), app.private_base64))
