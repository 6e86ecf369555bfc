"""Sessions of end users: anonymous ones, and those whom a platform knows (spec: client protocol §5)."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from runtime.errors import InvalidParameterError, NotFoundError, OverloadedError
from runtime.ids import new_user_id
from runtime.messages import AccessConfig, Principal, Provider
from runtime.ports import (
    Clock,
    Platform,
    PlatformKeys,
    PlatformTimeoutError,
    PlatformUnavailableError,
    PlatformUser,
    UserRecords,
)
from runtime.services.platform_keys import APP_ID, find_platform
from runtime.services.sealed_platform_keys import SealedPlatformKeys
from runtime.services.tokens import TokenService

_ANONYMOUS_APP_MAX = 128
"""Characters; a token carries it."""
_AUTH_CODE = re.compile(r"[\x21-\x7e]{1,512}")
_OPEN_ID = re.compile(r"[\x21-\x7e]{1,128}")
"""Of all three platforms; a token carries it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginLimits:
    """Of logins at one platform: seconds for one, and how many are under way, in all and of one space."""

    timeout_s: float
    under_way_max: int
    under_way_max_per_space: int


class UserService:
    """Use cases. Logins are bounded in time, and in number for each platform and for each space at it; more
    are refused at once. So a slow platform holds up only logins at itself, and an app whose logins are slow
    or many only those of its space, until several such spaces have taken all places at that platform."""

    def __init__(
        self,
        *,
        tokens: TokenService,
        records: UserRecords,
        platforms: Mapping[Provider, Platform],
        keys: SealedPlatformKeys,
        clock: Clock,
        limits: LoginLimits,
    ) -> None:
        self._tokens = tokens
        self._records = records
        self._platforms = platforms
        self._keys = keys
        self._clock = clock
        self._limits = limits
        self._under_way: Counter[Provider] = Counter()
        self._under_way_of: Counter[tuple[Provider, str]] = Counter()

    def authorize_anonymous(
        self, space_id: str, access: AccessConfig, params: Mapping[str, Any]
    ) -> dict[str, Any]:
        """A token of a new user, of whom no record is kept. uniCloud sends no `clientIdentifier`: the app id
        is empty then, which tells such users from those of whom nothing is known (`Profiles`). Raises
        InvalidParameterError."""
        app_id = params.get("clientIdentifier")
        if app_id is not None and (not isinstance(app_id, str) or len(app_id) > _ANONYMOUS_APP_MAX):
            raise InvalidParameterError(
                "clientIdentifier",
                f"clientIdentifier must be a text of at most {_ANONYMOUS_APP_MAX} characters",
            )
        user_id = new_user_id(self._clock.now_ms())
        return self._session(space_id, access, Principal(user_id=user_id, app_id=app_id or ""))

    async def authorize(
        self, space_id: str, access: AccessConfig, params: Mapping[str, Any]
    ) -> dict[str, Any]:
        """A token of the user who logged in at a platform, the same user each time.

        Raises InvalidParameterError; NotFoundError when the space has no keys for the app;
        PlatformRefusedError, PlatformTimeoutError, PlatformUnavailableError; OverloadedError at once beyond
        a bound; UnavailableError when the user cannot be noted (the code is used up then, too)."""
        provider = _provider(params.get("authProvider"))
        app_id = _app_id(params.get("clientIdentifier"), "clientIdentifier")
        auth_code = params.get("authCode")
        if not isinstance(auth_code, str) or not _AUTH_CODE.fullmatch(auth_code):
            raise InvalidParameterError(
                "authCode",
                "authCode must be the code of a login, 1 to 512 characters; did the host give the app one"
                " (my.getAuthCode, wx.login, dd.getAuthCode)?",
            )
        keys = self._keys_for(space_id, access, provider, app_id, params.get("isvAppId"))
        user = await self._exchange(space_id, provider, keys, auth_code)
        record = await self._records.seen(
            space_id, provider, app_id, user.open_id, now_ms=self._clock.now_ms()
        )
        principal = Principal(
            user_id=record.user_id,
            app_id=app_id,
            provider=provider.value,
            open_id=record.open_id,
        )
        return self._session(space_id, access, principal)

    def _session(self, space_id: str, access: AccessConfig, principal: Principal) -> dict[str, Any]:
        token = self._tokens.issue(space_id, principal, access=access)
        return {"accessToken": token, "expiresInSecond": self._tokens.ttl_s}

    def _keys_for(
        self,
        space_id: str,
        access: AccessConfig,
        provider: Provider,
        app_id: str,
        isv_app_id: object,
    ) -> PlatformKeys:
        """The keys that log in users of this app: its own or, with Alipay, its service provider's."""
        acting_id = app_id
        if provider is Provider.ALIPAY and isv_app_id is not None:
            acting_id = _app_id(isv_app_id, "isvAppId")
        config = find_platform(access.platforms, provider, acting_id)
        if config is None:
            raise NotFoundError(
                "OpenPlatformConfig.NotFound",
                f"the space has no keys of app {acting_id} ({provider.value}); set them:"
                " yunhan platform set",
            )
        stored = self._keys.open(space_id, config)
        if acting_id == app_id:
            return stored.keys
        token = stored.app_auth_tokens.get(app_id)
        if token is None:
            raise NotFoundError(
                "AppAuthToken.NotFound",
                f"app {app_id} has not entrusted its users to {acting_id}: call SaveAppAuthToken",
            )
        return replace(stored.keys, app_auth_token=token)

    async def _exchange(
        self, space_id: str, provider: Provider, keys: PlatformKeys, auth_code: str
    ) -> PlatformUser:
        platform = self._platforms[provider]
        async with self._place(provider, space_id):
            try:
                async with asyncio.timeout(self._limits.timeout_s):
                    user = await platform.exchange(keys, auth_code)
            except TimeoutError:
                user = None
        if user is None:  # raised here: a cause would hold the request, and with it the keys
            raise PlatformTimeoutError(platform.name, self._limits.timeout_s)
        if not _OPEN_ID.fullmatch(user.open_id):
            raise PlatformUnavailableError(platform.name, "named a user by what is no id")
        return user

    @asynccontextmanager
    async def _place(self, provider: Provider, space_id: str) -> AsyncIterator[None]:
        """Room for one login at this platform. Raises OverloadedError at once."""
        limits, mine = self._limits, (provider, space_id)
        if (
            self._under_way_of[mine] >= limits.under_way_max_per_space
            or self._under_way[provider] >= limits.under_way_max
        ):
            name = self._platforms[provider].name
            raise OverloadedError(f"too many logins are under way at {name}; try again later")
        self._under_way[provider] += 1
        self._under_way_of[mine] += 1
        try:
            yield
        finally:
            self._under_way[provider] -= 1
            self._under_way_of[mine] -= 1
            if not self._under_way_of[mine]:
                del self._under_way_of[mine]


def _provider(name: object) -> Provider:
    """The SDK sends none when the app named none."""
    if name is None:
        return Provider.ALIPAY
    for provider in Provider:
        if provider.value == name:
            return provider
    raise InvalidParameterError("authProvider", f"authProvider is one of {', '.join(Provider)}")


def _app_id(value: object, name: str) -> str:
    if not isinstance(value, str) or not APP_ID.fullmatch(value):
        raise InvalidParameterError(name, f"{name} must be the id of an app at the platform")
    return value
