"""Keys, and how long what they sign is good for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import SecretStr, field_validator

from runtime.settings.fields import SettingGroup, not_empty, setting


class KeySettings(SettingGroup):
    """Keys, tokens, signatures and the clocks that they depend on."""

    master_key_file: Path | None = setting(
        None, "path", "32 random bytes, base64; seals every stored secret; required in production"
    )
    access_key_id: str = setting(
        "", "text", "first management key; empty = generated in the data directory"
    )
    access_key_secret: SecretStr = setting(
        SecretStr(""), "secret", "secret of the first management key"
    )
    token_ttl_s: int = setting(600, "s", "life of an access token, as the original's", ge=1)
    token_key_rotate_s: float = setting(
        86_400.0,
        "s",
        "age at which a new key begins to sign tokens; the last two are accepted",
        gt=0,
    )
    client_clock_skew_s: int = setting(
        86_400,
        "s",
        "accepted difference to a client's clock; phones are often wrong; 0 = any",
        ge=0,
    )
    management_clock_skew_s: int = setting(
        900, "s", "accepted age of a management request; a nonce counts once in this time", ge=0
    )
    management_nonces_max: int = setting(
        100_000, "count", "remembered nonces; beyond it management requests are refused", ge=1
    )
    upload_url_ttl_s: int = setting(3600, "s", "life of a signed upload or download address", ge=1)

    @field_validator("master_key_file", mode="before")
    @classmethod
    def _a_key_file(cls, value: Any) -> Any:
        return not_empty(value)
