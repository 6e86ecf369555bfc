"""Logins at platforms on loopback: one gateway's services over a control plane in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from runtime.backends.control_memory import ControlMemory
from runtime.backends.platform_alipay import AlipayPlatform
from runtime.backends.platform_dingtalk import DingtalkPlatform
from runtime.backends.platform_wechat import WechatPlatform
from runtime.backends.platforms.http import PlatformHttp
from runtime.backends.users_memory import UsersMemory
from runtime.messages import AccessConfig, Principal, Provider, Space
from runtime.ports import PlatformKeys, SystemClock
from runtime.sealing import SecretBox
from runtime.services.platform_keys import PlatformKeyService, alipay_keys, secret_keys
from runtime.services.sealed_platform_keys import SealedPlatformKeys
from runtime.services.space_editor import SpaceEditor
from runtime.services.space_keys import client_secret_context
from runtime.services.tokens import TokenService
from runtime.services.users import LoginLimits, UserService
from tests.harness.platform_servers import PlatformServers, key_pair

SPACE = "mp-00000000-0000-4000-8000-000000000001"
ALIPAY_APP, WECHAT_APP, DINGTALK_APP = "2021000000000001", "wx0001", "ding01"
APPS = {
    Provider.ALIPAY: ALIPAY_APP,
    Provider.WECHAT: WECHAT_APP,
    Provider.DINGTALK: DINGTALK_APP,
}
LIMITS = LoginLimits(timeout_s=4.0, under_way_max=4, under_way_max_per_space=3)
BOX = SecretBox(b"k" * 32)


@dataclass
class Stage:
    """One gateway's services over one control plane, and the platforms that it reaches."""

    servers: PlatformServers
    http: PlatformHttp
    store: ControlMemory
    editor: SpaceEditor
    keys: PlatformKeyService
    tokens: TokenService
    records: UsersMemory
    limits: LoginLimits = LIMITS

    def users(self) -> UserService:
        servers, clock = self.servers, SystemClock()
        return UserService(
            tokens=self.tokens,
            records=self.records,
            platforms={
                Provider.ALIPAY: AlipayPlatform(
                    http=self.http, clock=clock, url=servers.alipay_url
                ),
                Provider.WECHAT: WechatPlatform(http=self.http, url=servers.wechat_url),
                Provider.DINGTALK: DingtalkPlatform(
                    http=self.http,
                    clock=clock,
                    url=servers.dingtalk_url,
                    oapi_url=servers.dingtalk_oapi_url,
                ),
            },
            keys=SealedPlatformKeys(BOX),
            clock=clock,
            limits=self.limits,
        )

    async def access(self) -> AccessConfig:
        return (await self.editor.read(SPACE)).access

    def holder(self, token: str) -> Principal:
        return self.tokens.verify(SPACE, token, access=AccessConfig())

    async def log_in(
        self, provider: Provider, code: str, users: UserService | None = None, **more: str
    ) -> str:
        """The token."""
        params = {"authProvider": provider.value, "clientIdentifier": APPS[provider], **more}
        session = await (users or self.users()).authorize(
            SPACE, await self.access(), {**params, "authCode": code}
        )
        assert session["expiresInSecond"] == 600
        return str(session["accessToken"])


class Ignored:
    """A cache that nobody reads."""

    def invalidate(self, space_id: str) -> None:
        """Nothing is cached."""


def by_public_key(app_id: str = ALIPAY_APP, owner: str = "app") -> PlatformKeys:
    texts = {
        "PrivateKey": key_pair(owner).private_base64,
        "PublicKey": key_pair("alipay").public_base64,
    }
    return alipay_keys(app_id, sign_mode=None, texts=texts)


def by_certificate() -> PlatformKeys:
    texts = {
        "PrivateKey": key_pair("app").private_pem,
        "AppCert": key_pair("app").certificate_pem,
        "PublicCert": key_pair("alipay").certificate_pem,
        "RootCert": key_pair("root 1").certificate_pem + key_pair("root 2").certificate_pem,
    }
    return alipay_keys(ALIPAY_APP, sign_mode=None, texts=texts)


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    """With keys of one app at each platform."""
    servers, http, clock = PlatformServers(), PlatformHttp(response_max_bytes=4096), SystemClock()
    store = ControlMemory()
    editor = SpaceEditor(control=store, cache=Ignored())
    sealed = SealedPlatformKeys(BOX)
    tokens = TokenService(
        store=store, box=BOX, clock=clock, ttl_s=600, rotate_s=86_400, settle_s=10
    )
    await store.create_space(
        Space(
            space_id=SPACE,
            name="demo",
            client_secret_sealed=BOX.seal(b"secret", context=client_secret_context(SPACE)),
            private_key_sealed=b"",
            public_key_pem="",
            created_ms=1,
            modified_ms=1,
        )
    )
    await tokens.load()
    async with servers.serving(), http.open():
        keys = PlatformKeyService(editor=editor, sealed=sealed, clock=clock, apps_max=9)
        stage = Stage(servers, http, store, editor, keys, tokens, UsersMemory())
        await keys.save(SPACE, Provider.ALIPAY, by_public_key())
        for provider, app in ((Provider.WECHAT, WECHAT_APP), (Provider.DINGTALK, DINGTALK_APP)):
            await keys.save(SPACE, provider, secret_keys(app, servers.secrets[app]))
        yield stage
