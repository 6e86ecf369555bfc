"""Keys of a space's apps at the platforms: save, list, delete (spec: management API §4). Sealed at rest."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from runtime.errors import ConflictError, InvalidParameterError, NotFoundError, OursError
from runtime.messages import PlatformConfig, Provider, Space
from runtime.ports import Clock, PlatformKeys, SignMode
from runtime.services.platform_key_texts import (
    has_key_of,
    read_certificate,
    read_certificates,
    read_private_key,
    read_public_key,
)
from runtime.services.sealed_platform_keys import SealedPlatformKeys, StoredKeys
from runtime.services.space_editor import SpaceEditor

_log = structlog.get_logger(__name__)

APP_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
"""Ids of apps at all three platforms are shorter."""
_SECRET = re.compile(r"[\x21-\x7e]{1,256}")
_ENTRUSTED_MAX = 200
"""Apps for which one service provider's app acts in one space: it has one space for each of its customers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedKeys:
    """What is stored for one app. The caller decides what of it to tell."""

    config: PlatformConfig
    stored: StoredKeys | None
    """None: it does not open."""


def find_platform(
    platforms: Sequence[PlatformConfig], provider: Provider, app_id: str
) -> PlatformConfig | None:
    """The keys of this app."""
    return next(
        (each for each in platforms if (each.provider, each.app_id) == (provider, app_id)), None
    )


def alipay_keys(
    app_id: str, *, sign_mode: SignMode | None, texts: Mapping[str, str | None]
) -> PlatformKeys:
    """Keys out of the texts of SaveAntOpenPlatformConfig, by their parameters' names. Without a mode it
    follows from whether there are certificates. Raises InvalidParameterError."""

    def read(name: str, reader: Callable[[str, str], str], *, needed: bool = False) -> str:
        text = (texts.get(name) or "").strip()
        if not text and needed:
            raise InvalidParameterError(name, f"{name} is missing", code=f"Missing{name}")
        return reader(name, text) if text else ""

    certificates = any((texts.get(name) or "").strip() for name in ("AppCert", "RootCert"))
    mode = sign_mode or (SignMode.CERT if certificates else SignMode.PUBLIC_KEY)
    by_certificate = mode is SignMode.CERT
    keys = PlatformKeys(
        app_id=_app_id("AppId", app_id),
        sign_mode=mode,
        private_key=read("PrivateKey", read_private_key, needed=True),
        public_key=read("PublicKey", read_public_key),
        app_cert=read("AppCert", read_certificate, needed=by_certificate),
        public_cert=read("PublicCert", read_certificate, needed=by_certificate),
        root_cert=read("RootCert", read_certificates, needed=by_certificate),
    )
    if keys.app_cert and not has_key_of(keys.app_cert, keys.private_key):
        raise InvalidParameterError("AppCert", "AppCert is not of the key in PrivateKey")
    return keys


def secret_keys(app_id: str, app_secret: str) -> PlatformKeys:
    """Keys of WeChat and DingTalk. Raises InvalidParameterError."""
    if not _SECRET.fullmatch(app_secret):
        raise InvalidParameterError(
            "AppSecret", "AppSecret is 1 to 256 characters of printable ASCII without spaces"
        )
    return PlatformKeys(app_id=_app_id("AppId", app_id), app_secret=app_secret)


class PlatformKeyService:
    """Use cases. Unknown spaces raise NotFoundError, apps without keys NotFoundError with
    `OpenPlatformConfig.NotFound`."""

    def __init__(
        self, *, editor: SpaceEditor, sealed: SealedPlatformKeys, clock: Clock, apps_max: int
    ) -> None:
        self._editor = editor
        self._sealed = sealed
        self._clock = clock
        self._apps_max = apps_max

    async def list(self, space_id: str, *providers: Provider) -> Sequence[SavedKeys]:
        """The apps of these platforms, in the order of their first saving."""
        space = await self._editor.read(space_id)
        return [
            SavedKeys(config=each, stored=self._open(space_id, each))
            for each in space.access.platforms
            if each.provider in providers
        ]

    async def save(
        self, space_id: str, provider: Provider, keys: PlatformKeys, *, present: bool | None = None
    ) -> None:
        """Store keys, instead of those that were there; logins use them at once here, and within
        `YUNHAN_CONTROL_POLL_S` everywhere. The same again changes nothing. What other apps entrusted to this
        one stays.

        `present` says what has to be the case: True: there are keys (else NotFoundError), False: there are
        none (else ConflictError). Raises InvalidParameterError for one app too many."""

        def change(space: Space) -> Space:
            old = find_platform(space.access.platforms, provider, keys.app_id)
            if old is None and present is True:
                raise _unknown(provider, keys.app_id)
            if old is not None and present is False:
                raise ConflictError(
                    "OpenPlatformConfig.AlreadyExists",
                    f"app {keys.app_id} ({provider.value}) has keys already; update them",
                )
            known = self._open(space_id, old) if old else None
            entrusted = known.app_auth_tokens if known else {}
            return self._put(space, provider, old, StoredKeys(keys=keys, app_auth_tokens=entrusted))

        await self._editor.change(space_id, change)
        _log.info("platform_saved", space=space_id, provider=provider.value, app=keys.app_id)

    async def entrust(self, space_id: str, *, isv_app_id: str, app_id: str, token: str) -> None:
        """The service provider's app `isv_app_id` of Alipay, whose keys are there, may act for `app_id`.

        Raises NotFoundError, InvalidParameterError."""
        _app_id("AppId", app_id)
        if not _SECRET.fullmatch(token):
            raise InvalidParameterError(
                "AppAuthToken", "AppAuthToken is 1 to 256 characters of printable ASCII"
            )

        def change(space: Space) -> Space:
            old = find_platform(space.access.platforms, Provider.ALIPAY, isv_app_id)
            if old is None:
                raise _unknown(Provider.ALIPAY, isv_app_id)
            known = self._sealed.open(space_id, old)
            entrusted = {**known.app_auth_tokens, app_id: token}
            if len(entrusted) > _ENTRUSTED_MAX:
                raise InvalidParameterError(
                    "AppId", f"app {isv_app_id} acts for at most {_ENTRUSTED_MAX} others"
                )
            return self._put(space, Provider.ALIPAY, old, replace(known, app_auth_tokens=entrusted))

        await self._editor.change(space_id, change)
        _log.info("platform_entrusted", space=space_id, isv_app=isv_app_id, app=app_id)

    async def delete(self, space_id: str, provider: Provider, app_id: str) -> None:
        """Its users cannot log in any more; tokens that they have live on."""

        def change(space: Space) -> Space:
            old = find_platform(space.access.platforms, provider, app_id)
            if old is None:
                raise _unknown(provider, app_id)
            kept = tuple(each for each in space.access.platforms if each is not old)
            return self._with(space, kept)

        await self._editor.change(space_id, change)
        _log.info("platform_deleted", space=space_id, provider=provider.value, app=app_id)

    def _put(
        self, space: Space, provider: Provider, old: PlatformConfig | None, stored: StoredKeys
    ) -> Space:
        if old is not None and self._open(space.space_id, old) == stored:
            return space
        now_ms = self._clock.now_ms()
        new = PlatformConfig(
            provider=provider,
            app_id=stored.keys.app_id,
            sealed=self._sealed.seal(space.space_id, provider, stored),
            created_ms=old.created_ms if old else now_ms,
            modified_ms=now_ms,
        )
        platforms = space.access.platforms
        if old is not None:
            return self._with(space, tuple(new if each is old else each for each in platforms))
        if len(platforms) >= self._apps_max:
            raise InvalidParameterError(
                "AppId",
                f"a space has keys of at most {self._apps_max} apps; delete one",
                code="OpenPlatformConfigLimitExceeded",
            )
        return self._with(space, (*platforms, new))

    def _with(self, space: Space, platforms: tuple[PlatformConfig, ...]) -> Space:
        access = replace(space.access, platforms=platforms)
        return replace(space, access=access, modified_ms=self._clock.now_ms())

    def _open(self, space_id: str, config: PlatformConfig) -> StoredKeys | None:
        """None when they do not open: they can still be listed, replaced and deleted."""
        try:
            return self._sealed.open(space_id, config)
        except OursError:
            return None


def _app_id(parameter: str, app_id: str) -> str:
    if not APP_ID.fullmatch(app_id):
        raise InvalidParameterError(
            parameter, f"{parameter} is 1 to 64 letters, digits, dots, hyphens and underscores"
        )
    return app_id


def _unknown(provider: Provider, app_id: str) -> NotFoundError:
    return NotFoundError(
        "OpenPlatformConfig.NotFound",
        f"there are no keys of app {app_id[:64]} ({provider.value}) in this space",
    )
