"""WeChat's server API: `jscode2session`.

The session key that comes with the user's id decrypts what the user entrusts to the app: nothing here needs
it, so it is neither kept nor told.
"""

from __future__ import annotations

from runtime.backends.platforms.answers import json_object, refusal, text_of, unreadable
from runtime.backends.platforms.http import PlatformHttp, PlatformRequest
from runtime.ports import Platform, PlatformKeys, PlatformUser

_SUCCESS = (0, "0", "", None)
"""Mostly there is no code at all."""


class WechatPlatform(Platform):
    """See the module. `url` is the address before `/sns/...`."""

    name = "WeChat"

    def __init__(self, *, http: PlatformHttp, url: str) -> None:
        self._http = http
        self._url = url

    async def exchange(self, keys: PlatformKeys, auth_code: str) -> PlatformUser:
        answer = await self._http.send(
            PlatformRequest(
                platform=self.name,
                method="GET",
                url=f"{self._url}/sns/jscode2session",
                query={
                    "appid": keys.app_id,
                    "secret": keys.app_secret,
                    "js_code": auth_code,
                    "grant_type": "authorization_code",
                },
            )
        )
        said = json_object(self.name, answer)
        if said.get("errcode", 0) not in _SUCCESS:
            raise refusal(
                self.name,
                said["errcode"],
                said.get("errmsg"),
                hidden=(keys.app_secret, auth_code, text_of(said.get("session_key"))),
            )
        open_id = text_of(said.get("openid"))
        if not open_id:
            raise unreadable(self.name, answer)
        return PlatformUser(open_id=open_id)
