"""The platforms that know end users: they exchange a login's code for the user's id.

Their errors are `CallerError`s although the platform may be at fault: an app has to be told that it was the
platform and what it said, and a code is good for one use, so repeating the request is useless anyway.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum

from runtime.errors import CallerError


class SignMode(StrEnum):
    """How an app of Alipay signs (spec: management API §4, `SignMode`)."""

    PUBLIC_KEY = "PUBLIC_KEY"
    CERT = "CERT"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformKeys:
    """The keys of one app at a platform, in the clear. What a platform does not need is empty; keys and
    certificates are PEM."""

    app_id: str
    app_secret: str = field(default="", repr=False)
    """WeChat and DingTalk."""
    sign_mode: SignMode = SignMode.PUBLIC_KEY
    private_key: str = field(default="", repr=False)
    """Of the app; this and what follows: Alipay."""
    public_key: str = ""
    """The platform's, to check what it answers; empty = TLS alone vouches for it."""
    app_cert: str = ""
    public_cert: str = ""
    """The platform's, in mode CERT."""
    root_cert: str = ""
    """One or several."""
    app_auth_token: str = field(default="", repr=False)
    """Of the app for which this one, a service provider's, acts; empty = it acts for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformUser:
    """Who logged in. `open_id` is as the platform sent it: any text that is not empty."""

    open_id: str


class PlatformRefusedError(CallerError):
    """The platform said no. `answer_code` is its own code."""

    def __init__(self, platform: str, answer_code: str, text: str) -> None:
        said = f"{answer_code}: {text}" if text else answer_code
        super().__init__("PlatformRefused", f"{platform} refused the login: {said}")
        self.answer_code = answer_code


class PlatformUnavailableError(CallerError):
    """The platform could not be reached, or what it answered cannot be understood or is not genuine."""

    def __init__(self, platform: str, reason: str) -> None:
        super().__init__("PlatformUnavailable", f"{platform} {reason}; log in again later")


class PlatformTimeoutError(CallerError):
    """The platform did not answer in time."""

    def __init__(self, platform: str, timeout_s: float) -> None:
        super().__init__(
            "RequestTimeout", f"{platform} did not answer within {timeout_s:g} s; log in again"
        )


class Platform(ABC):
    """One kind of platform, for all apps of all spaces. Safe for many calls at once."""

    name: str
    """For people."""

    @abstractmethod
    async def exchange(self, keys: PlatformKeys, auth_code: str) -> PlatformUser:
        """Who logged in with this code, which is good for one use. The caller bounds its time and number;
        cancelling it closes its connection.

        Raises PlatformRefusedError and PlatformUnavailableError, whose texts and causes hold no key and no
        code, whatever the platform sends back."""
