"""The keys of an app at a platform as one sealed value: made by the management side, opened for a login."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from runtime.errors import OursError
from runtime.messages import PlatformConfig, Provider
from runtime.ports import PlatformKeys, SignMode
from runtime.sealing import SealingError, SecretBox

_MEMBERS = (
    "app_secret",
    "private_key",
    "public_key",
    "app_cert",
    "public_cert",
    "root_cert",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKeys:
    """What is kept of an app: its keys and, of a service provider's, what other apps entrusted to it."""

    keys: PlatformKeys
    app_auth_tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By the app for which this one may act."""


def platform_context(space_id: str, provider: Provider, app_id: str) -> str:
    """What sealed keys are bound to: another space, platform or app cannot open them."""
    return f"space/{space_id}/platform/{provider.value}/{app_id}"


class SealedPlatformKeys:
    """Seals and opens. Errors never quote what was sealed."""

    def __init__(self, box: SecretBox) -> None:
        self._box = box

    def seal(self, space_id: str, provider: Provider, stored: StoredKeys) -> bytes:
        """Every value is text without lone surrogates."""
        keys = stored.keys
        document = {
            **{name: getattr(keys, name) for name in _MEMBERS if getattr(keys, name)},
            "sign_mode": keys.sign_mode.value,
            "app_auth_tokens": dict(stored.app_auth_tokens),
        }
        context = platform_context(space_id, provider, keys.app_id)
        return self._box.seal(orjson.dumps(document), context=context)

    def open(self, space_id: str, config: PlatformConfig) -> StoredKeys:
        """Raises OursError when they do not open."""
        context = platform_context(space_id, config.provider, config.app_id)
        try:
            document = orjson.loads(self._box.open(config.sealed, context=context))
        except SealingError:
            raise OursError(
                "InternalServerError",
                f"the keys of app {config.app_id} ({config.provider.value}) in space {space_id} do not"
                " open: this is not the master key that they were sealed with (YUNHAN_MASTER_KEY_FILE)."
                " Put that key back, or save the keys again (yunhan platform set)",
            ) from None
        return StoredKeys(
            keys=PlatformKeys(
                app_id=config.app_id,
                sign_mode=SignMode(document["sign_mode"]),
                **{name: document.get(name, "") for name in _MEMBERS},
            ),
            app_auth_tokens=document["app_auth_tokens"],
        )
