"""Logins of end users through platforms, and the revocation of their tokens."""

from __future__ import annotations

import re
from typing import Self
from urllib.parse import urlsplit

from pydantic import field_validator, model_validator

from runtime.settings.fields import KIB, SettingGroup, setting

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ADDRESS = re.compile(r"[A-Za-z0-9:/.\[\]_~-]+")
"""Characters of a scheme, host, port and path; nothing of a user, query or fragment, and no white space, some
of which `urlsplit` would drop."""


class UserSettings(SettingGroup):
    """Addresses of the platforms, and bounds of what is asked of them."""

    platform_alipay_url: str = setting(
        "https://openapi.alipay.com",
        "URL",
        "Alipay's open platform; the path of its gateway is put behind it",
    )
    platform_wechat_url: str = setting(
        "https://api.weixin.qq.com", "URL", "WeChat's server API; paths are put behind it"
    )
    platform_dingtalk_url: str = setting(
        "https://api.dingtalk.com", "URL", "DingTalk's server API; paths are put behind it"
    )
    platform_dingtalk_oapi_url: str = setting(
        "https://oapi.dingtalk.com",
        "URL",
        "DingTalk's older server API, which has some calls alone; paths are put behind it",
    )
    platform_timeout_s: float = setting(
        4.0, "s", "one login at a platform, from first to last byte; the SDKs wait 5 s", gt=0
    )
    platform_response_max_bytes: int = setting(64 * KIB, "bytes", "answer of a platform", ge=1024)
    platform_logins_max: int = setting(
        64,
        "count",
        "logins under way at one platform in one gateway; more are refused, others' are not",
        ge=1,
    )
    platform_logins_max_per_space: int = setting(
        16,
        "count",
        "the same of one space at one platform, so that no space takes the others' share",
        ge=1,
    )
    platform_apps_max: int = setting(
        50, "count", "apps with keys in one space; the space's document holds them", ge=1, le=200
    )
    revocations_max: int = setting(
        500,
        "count",
        "revoked users of one space whose tokens may still live; the oldest one beyond it revokes"
        " everybody's tokens of its time",
        ge=1,
        le=5000,
    )

    @field_validator(
        "platform_alipay_url",
        "platform_wechat_url",
        "platform_dingtalk_url",
        "platform_dingtalk_oapi_url",
    )
    @classmethod
    def _a_safe_address(cls, value: str) -> str:
        """Keys travel to it."""
        if not _is_safe(value):
            raise ValueError(
                "an https URL without user and query (http only to this machine), e.g. https://host/path"
            )
        return value.rstrip("/")

    @model_validator(mode="after")
    def _a_space_fits_the_gateway(self) -> Self:
        if self.platform_logins_max_per_space > self.platform_logins_max:
            raise ValueError(
                "YUNHAN_PLATFORM_LOGINS_MAX_PER_SPACE="
                f"{self.platform_logins_max_per_space} must not be greater than"
                f" YUNHAN_PLATFORM_LOGINS_MAX={self.platform_logins_max}"
            )
        return self


def _is_safe(address: str) -> bool:
    if not _ADDRESS.fullmatch(address):
        return False
    try:
        url = urlsplit(address)
        port = url.port
    except ValueError:  # a port that is none, or brackets around no address
        return False
    if not url.hostname or port == 0 or url.netloc.endswith(":"):
        return False
    return url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOOPBACK)
