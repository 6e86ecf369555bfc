"""Alipay's open platform: `alipay.system.oauth.token`, signed with RSA2.

The parameters are signed with the app's key. What comes back is checked with the platform's key where the
space has it: always in mode CERT, where certificates are told apart by their serial numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from runtime.backends.platforms.alipay_signatures import (
    certificate_sn,
    is_signed,
    public_key,
    root_certificates_sn,
    sign,
)
from runtime.backends.platforms.answers import refusal, text_of, unreadable
from runtime.backends.platforms.http import PlatformAnswer, PlatformHttp, PlatformRequest
from runtime.backends.platforms.raw_members import RawMember, raw_members
from runtime.ports import (
    Clock,
    Platform,
    PlatformKeys,
    PlatformUnavailableError,
    PlatformUser,
    SignMode,
)

_METHOD = "alipay.system.oauth.token"
_RESULT = "alipay_system_oauth_token_response"
_ERROR = "error_response"
_SUCCESS = "10000"
_CHINA = timedelta(hours=8)
"""Timestamps are Beijing's wall clock."""


GATEWAY_PATH = "/gateway.do"
"""Behind the platform's address, also that of its test platform."""


class AlipayPlatform(Platform):
    """See the module. `url` is the gateway's full address."""

    name = "Alipay"

    def __init__(self, *, http: PlatformHttp, clock: Clock, url: str) -> None:
        self._http = http
        self._clock = clock
        self._url = url

    async def exchange(self, keys: PlatformKeys, auth_code: str) -> PlatformUser:
        answer = await self._http.send(
            PlatformRequest(
                platform=self.name,
                method="POST",
                url=self._url,
                form=self._parameters(keys, auth_code),
            )
        )
        try:
            members = raw_members(answer.body.decode())
        except ValueError:
            raise unreadable(self.name, answer) from None
        error, result = members.get(_ERROR), members.get(_RESULT)
        for said in (error, result):
            if said is not None and _is_refusal(said):
                raise _refused(said, keys, auth_code)
        if result is None or error is not None or not isinstance(result.value, dict):
            raise unreadable(self.name, answer)
        self._check_signature(answer, keys, result, members)
        # New apps get an open id, older ones a user id; an app has one of them for all its users.
        open_id = text_of(result.value.get("user_id")) or text_of(result.value.get("open_id"))
        if not open_id:
            raise unreadable(self.name, answer)
        return PlatformUser(open_id=open_id)

    def _parameters(self, keys: PlatformKeys, auth_code: str) -> dict[str, str]:
        now = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC) + _CHINA
        parameters = {
            "app_id": keys.app_id,
            "method": _METHOD,
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": f"{now:%Y-%m-%d %H:%M:%S}",
            "version": "1.0",
            "grant_type": "authorization_code",
            "code": auth_code,
        }
        if keys.app_auth_token:
            parameters["app_auth_token"] = keys.app_auth_token
        if keys.sign_mode is SignMode.CERT:
            parameters["app_cert_sn"] = certificate_sn(keys.app_cert)
            parameters["alipay_root_cert_sn"] = root_certificates_sn(keys.root_cert)
        return {**parameters, "sign": sign(parameters, keys.private_key)}

    def _check_signature(
        self,
        answer: PlatformAnswer,
        keys: PlatformKeys,
        result: RawMember,
        members: Mapping[str, RawMember],
    ) -> None:
        """Raises PlatformUnavailableError for an answer that the platform did not sign."""
        pem = keys.public_key
        if keys.sign_mode is SignMode.CERT:
            pem = keys.public_cert
            if "alipay_cert_sn" not in members:
                raise unreadable(self.name, answer)
            if members["alipay_cert_sn"].value != certificate_sn(pem):
                raise PlatformUnavailableError(
                    self.name,
                    f"signs with another certificate than the one of app {keys.app_id} here; save its"
                    " present one (SaveAntOpenPlatformConfig)",
                )
        if not pem:
            return
        signature = members.get("sign")
        if signature is None or not is_signed(
            result.text, text_of(signature.value), public_key(pem)
        ):
            raise PlatformUnavailableError(
                self.name,
                f"gave an answer whose signature does not fit the platform's key of app {keys.app_id}",
            )


def _is_refusal(said: RawMember) -> bool:
    """A result has no code at all, or the one of success."""
    return isinstance(said.value, dict) and said.value.get("code", _SUCCESS) != _SUCCESS


def _refused(said: RawMember, keys: PlatformKeys, auth_code: str) -> Exception:
    value = said.value
    return refusal(
        AlipayPlatform.name,
        value.get("sub_code") or value["code"],
        value.get("sub_msg") or value.get("msg"),
        hidden=(auth_code, keys.app_auth_token),
    )
