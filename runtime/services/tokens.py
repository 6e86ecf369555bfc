"""Access tokens of end users: stateless, so that any gateway verifies any token (design decision 11).

    1.<key id>.<payload, base64url>.<HMAC-SHA256 over what stands before, base64url>

The payload is JSON: space, user, expiry (s since 1970), issue (ms since 1970; `stamp_ms` of revocations), app
id, provider, open id; those of older versions have neither issue nor open id. Keys live sealed in the control
plane; two are live at a time. A new key signs only after every gateway can know it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Sequence

import orjson
import structlog

from runtime.errors import TokenError, YunhanError
from runtime.messages import AccessConfig, Principal
from runtime.ports import Clock, ControlStore, TokenKey
from runtime.sealing import SecretBox
from runtime.services.revocations import is_revoked, stamp_ms
from sandbox.json_text import dump_json

_log = structlog.get_logger(__name__)

_VERSION = "1"
_TOKEN_MAX_CHARACTERS = 2048
_KEYS_LIVE = 2


class TokenService:
    """Issues and verifies tokens. `load` first; `run` keeps the keys current."""

    def __init__(
        self,
        *,
        store: ControlStore,
        box: SecretBox,
        clock: Clock,
        ttl_s: int,
        rotate_s: float,
        settle_s: float,
    ) -> None:
        self._store = store
        self._box = box
        self._clock = clock
        self.ttl_s = ttl_s
        self._rotate_s = rotate_s
        self._settle_s = settle_s
        self._keys: dict[str, bytes] = {}
        self._signing = ""

    async def load(self) -> None:
        """Read the keys; make one when there is none or the newest is too old."""
        now_ms = self._clock.now_ms()
        keys = list(await self._store.token_keys())
        if not keys or now_ms - keys[0].created_ms > self._rotate_s * 1000:
            key_id = os.urandom(4).hex()
            sealed = self._box.seal(os.urandom(32), context=_context(key_id))
            key = TokenKey(key_id=key_id, sealed=sealed, created_ms=now_ms)
            await self._store.add_token_key(key)
            keys.insert(0, key)
            for old in keys[_KEYS_LIVE:]:
                await self._store.delete_token_key(old.key_id)
        self._adopt(keys[:_KEYS_LIVE], now_ms)

    async def run(self, every_s: float) -> None:
        """Follow changes made by other gateways, and rotate."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.load()
            except YunhanError as error:
                _log.warning("token_keys_not_read", error=str(error))

    def issue(self, space_id: str, principal: Principal, *, access: AccessConfig) -> str:
        """A token for this user of this space, valid for `ttl_s`; none of the revocations that `access` has
        is meant for it."""
        now_ms = self._clock.now_ms()
        payload = dump_json(
            {
                "s": space_id,
                "u": principal.user_id,
                "e": now_ms // 1000 + self.ttl_s,
                "i": stamp_ms(access, principal.user_id, now_ms),
                "a": principal.app_id,
                "p": principal.provider,
                "o": principal.open_id,
            }
        )
        signed = f"{_VERSION}.{self._signing}.{_text(payload)}"
        return f"{signed}.{_text(self._mac(self._signing, signed))}"

    def verify(self, space_id: str, token: str, *, access: AccessConfig) -> Principal:
        """Who holds this token; `access` is the space's and says what was revoked. Raises TokenError: the SDK
        then authorizes again."""
        parts = token.split(".")
        if len(token) > _TOKEN_MAX_CHARACTERS or len(parts) != 4 or parts[0] != _VERSION:
            raise TokenError("the token is malformed; authorize again")
        key_id = parts[1]
        if key_id not in self._keys:
            raise TokenError("the token was signed by a retired key; authorize again")
        mac = self._mac(key_id, token.rpartition(".")[0])
        if not hmac.compare_digest(_text(mac).encode(), parts[3].encode("utf-8", "replace")):
            raise TokenError("the token is not genuine; authorize again")
        claims = orjson.loads(_bytes(parts[2]))
        if claims["s"] != space_id:
            raise TokenError(f"the token belongs to another space than {space_id}; authorize again")
        now_ms, ends_ms, life_ms = self._clock.now_ms(), claims["e"] * 1000, self.ttl_s * 1000
        issued_ms = claims.get("i", ends_ms - life_ms)
        # By its age, too: revocations are kept for as long as tokens live now, not when they were issued.
        if ends_ms <= now_ms or now_ms - issued_ms > life_ms:
            raise TokenError("the token has expired; authorize again")
        if is_revoked(access, claims["u"], issued_ms):
            raise TokenError("the token was revoked; authorize again")
        return Principal(
            user_id=claims["u"],
            app_id=claims["a"],
            provider=claims["p"],
            open_id=claims.get("o"),
        )

    def _adopt(self, keys: Sequence[TokenKey], now_ms: int) -> None:
        self._keys = {
            key.key_id: self._box.open(key.sealed, context=_context(key.key_id)) for key in keys
        }
        settled = [k for k in keys if now_ms - k.created_ms >= self._settle_s * 1000]
        self._signing = (settled or list(keys)[-1:])[0].key_id

    def _mac(self, key_id: str, text: str) -> bytes:
        return hmac.digest(self._keys[key_id], text.encode("utf-8", "replace"), hashlib.sha256)


def _context(key_id: str) -> str:
    return f"token-key/{key_id}"


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise TokenError("the token is malformed; authorize again") from None
