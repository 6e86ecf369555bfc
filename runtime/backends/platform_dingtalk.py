"""DingTalk's server API, for apps of a company: an access token of the app, then `user/getuserinfo`.

Access tokens live for two hours and are the same for everybody who asks, so they are kept in memory.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.backends.platforms.answers import json_object, refusal, text_of, unreadable
from runtime.backends.platforms.http import PlatformHttp, PlatformRequest
from runtime.ports import (
    Clock,
    Platform,
    PlatformKeys,
    PlatformUnavailableError,
    PlatformUser,
)

_TOKENS_MAX = 1000
"""Apps whose access token is kept."""
_EARLY_S = 300.0
"""So much before its end an access token is fetched anew."""
_LONGEST_S = 7200.0
"""No access token is kept longer, whatever the answer says."""
_BAD_TOKEN = frozenset({"40001", "40014", "42001"})
"""Codes for an access token that ended or was replaced; the login's code was not used up then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _AccessToken:
    text: str = field(repr=False)
    until: float
    """By the monotonic clock, seconds."""


class DingtalkPlatform(Platform):
    """See the module. The addresses are those before the paths."""

    name = "DingTalk"

    def __init__(self, *, http: PlatformHttp, clock: Clock, url: str, oapi_url: str) -> None:
        self._http = http
        self._clock = clock
        self._url = url
        self._oapi_url = oapi_url
        self._tokens: OrderedDict[str, _AccessToken] = OrderedDict()

    async def exchange(self, keys: PlatformKeys, auth_code: str) -> PlatformUser:
        known = self._known(keys)
        said = await self._user_info(known or await self._fetch(keys), auth_code)
        if known is not None and _code_of(said) in _BAD_TOKEN:
            self._tokens.pop(_place(keys), None)
            said = await self._user_info(await self._fetch(keys), auth_code)
        if _code_of(said) != "0":
            raise refusal(
                self.name,
                _code_of(said),
                said.get("sub_msg") or said.get("errmsg"),
                hidden=(keys.app_secret, auth_code, *self._token_texts(keys)),
            )
        result = said.get("result")
        open_id = text_of(result.get("userid")) if isinstance(result, dict) else ""
        if not open_id:
            raise PlatformUnavailableError(self.name, "gave an answer that names no user")
        return PlatformUser(open_id=open_id)

    async def _user_info(self, token: str, auth_code: str) -> Mapping[str, Any]:
        answer = await self._http.send(
            PlatformRequest(
                platform=self.name,
                method="POST",
                url=f"{self._oapi_url}/topapi/v2/user/getuserinfo",
                query={"access_token": token},
                json={"code": auth_code},
            )
        )
        said = json_object(self.name, answer)
        if "errcode" not in said:
            raise unreadable(self.name, answer)
        return said

    def _known(self, keys: PlatformKeys) -> str | None:
        kept = self._tokens.get(_place(keys))
        return kept.text if kept and self._clock.monotonic() < kept.until else None

    def _token_texts(self, keys: PlatformKeys) -> tuple[str, ...]:
        kept = self._tokens.get(_place(keys))
        return (kept.text,) if kept else ()

    async def _fetch(self, keys: PlatformKeys) -> str:
        """A new access token of the app, kept for the next logins."""
        answer = await self._http.send(
            PlatformRequest(
                platform=self.name,
                method="POST",
                url=f"{self._url}/v1.0/oauth2/accessToken",
                json={"appKey": keys.app_id, "appSecret": keys.app_secret},
            )
        )
        said = json_object(self.name, answer)
        token, life_s = text_of(said.get("accessToken")), said.get("expireIn")
        if not token and said.get("code"):
            raise refusal(self.name, said["code"], said.get("message"), hidden=(keys.app_secret,))
        if not token or isinstance(life_s, bool) or not isinstance(life_s, int | float):
            raise unreadable(self.name, answer)
        until = self._clock.monotonic() + min(life_s, _LONGEST_S) - _EARLY_S
        self._tokens.pop(_place(keys), None)
        self._tokens[_place(keys)] = _AccessToken(text=token, until=until)
        while len(self._tokens) > _TOKENS_MAX:
            self._tokens.popitem(last=False)
        return token


def _place(keys: PlatformKeys) -> str:
    """Keys that were changed are others; spaces with the same keys share."""
    return hashlib.sha256(f"{keys.app_id}\0{keys.app_secret}".encode()).hexdigest()


def _code_of(said: Mapping[str, Any]) -> str:
    """The older API wraps codes of its gateway: 88 with the true one in `sub_code`."""
    code = said.get("errcode")
    if code in (88, "88") and said.get("sub_code"):
        code = said["sub_code"]
    return str(code) if isinstance(code, str | int) and not isinstance(code, bool) else "no code"
