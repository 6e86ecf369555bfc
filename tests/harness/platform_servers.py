"""Alipay, WeChat and DingTalk on loopback: they check what they are sent as the platforms do, and can
misbehave."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]

_CLOCK_SKEW = timedelta(minutes=15)


@dataclass(frozen=True)
class KeyPair:
    """An RSA pair and a certificate of it, issued by itself."""

    private: rsa.RSAPrivateKey = field(repr=False)
    certificate: x509.Certificate

    @property
    def private_pem(self) -> str:
        return self._private(serialization.Encoding.PEM).decode()

    @property
    def private_base64(self) -> str:
        """As Alipay's tools hand it out."""
        return base64.b64encode(self._private(serialization.Encoding.DER)).decode()

    @property
    def public_base64(self) -> str:
        der = self.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(der).decode()

    @property
    def certificate_pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def sn(self) -> str:
        """The number by which Alipay knows the certificate, reckoned attribute by attribute."""
        names = [
            f"{each.rfc4514_attribute_name}={each.value!s}" for each in self.certificate.issuer
        ]
        text = ",".join(reversed(names)) + str(self.certificate.serial_number)
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    def sign(self, text: str) -> str:
        signature = self.private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return base64.b64encode(signature).decode()

    def has_signed(self, text: str, signature: str) -> bool:
        try:
            self.private.public_key().verify(
                base64.b64decode(signature), text.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except (InvalidSignature, ValueError):
            return False
        return True

    def _private(self, encoding: serialization.Encoding) -> bytes:
        return self.private.private_bytes(
            encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


@cache
def key_pair(owner: str) -> KeyPair:
    """The pair of this owner: made once, for making one takes its time."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Ant Financial"),
            x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "Certification Authority"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{owner} R1"),
        ]
    )
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(private, hashes.SHA256())
    )
    return KeyPair(private, certificate)


class PlatformServers:
    """Who is known, which codes are out, and what was asked. `misbehave` answers instead of the platform."""

    def __init__(self) -> None:
        self.url = ""
        self.users: dict[str, str] = {}
        """By the code of a login, which is good once."""
        self.logging_in = ""
        """Who logs in with other codes, `{platform}-code-...`, each good once; empty = they are bad."""
        self._spent: set[str] = set()
        self.secrets = {
            "wx0001": "wechat-secret-0123456789abcdef",
            "ding01": "dingtalk-secret-0123",
        }
        self.alipay_apps = {"2021000000000001": key_pair("app")}
        self.entrusted: dict[str, str] = {}
        """The app that each `app_auth_token` stands for."""
        self.certificates = False
        """Whether Alipay wants certificates' numbers."""
        self.signed_without_escapes = False
        self.dingtalk_tokens: set[str] = set()
        self.asked: list[str] = []
        """Paths, in order."""
        self.misbehave: Answering | None = None
        self.released = asyncio.Event()
        """What holds answers back."""

    @property
    def alipay_url(self) -> str:
        return f"{self.url}/alipay/gateway.do"

    @property
    def wechat_url(self) -> str:
        return f"{self.url}/wechat"

    @property
    def dingtalk_url(self) -> str:
        return f"{self.url}/dingtalk"

    @property
    def dingtalk_oapi_url(self) -> str:
        return f"{self.url}/oapi"

    def log_in(self, code: str, user: str) -> str:
        """A user of some app logs in: the code for it."""
        self.users[code] = user
        return code

    def lose_tokens(self) -> None:
        """DingTalk forgets the access tokens that it gave."""
        self.dingtalk_tokens.clear()

    def _user_of(self, platform: str, code: str) -> str:
        """Spends a code; empty for a bad one."""
        if code in self.users:
            return self.users.pop(code)
        if code in self._spent or not code.startswith(f"{platform}-code-"):
            return ""
        self._spent.add(code)
        return self.logging_in

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[PlatformServers]:
        app = web.Application()
        for method, path, answer in (
            ("POST", "/alipay/gateway.do", self._alipay),
            ("GET", "/wechat/sns/jscode2session", self._wechat),
            ("POST", "/dingtalk/v1.0/oauth2/accessToken", self._dingtalk_token),
            ("POST", "/oapi/topapi/v2/user/getuserinfo", self._dingtalk_user),
        ):
            app.router.add_route(method, path, self._noted(answer))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            self.released.set()
            await runner.cleanup()

    def _noted(self, answer: Answering) -> Answering:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.asked.append(request.path)
            return await (self.misbehave or answer)(request)

        return handle

    async def _alipay(self, request: web.Request) -> web.Response:
        form = dict(parse_qsl((await request.read()).decode(), strict_parsing=True))
        refused = self._alipay_refusal(request, form)
        user = "" if refused else self._user_of("alipay", form.get("code", ""))
        if refused is None and not user:
            refused = ("40002", "isv.code-invalid", "授权码code无效")
        if refused is not None:
            said = {"code": refused[0], "msg": "Invalid Arguments"}
            said |= {"sub_code": refused[1], "sub_msg": refused[2]}
            return self._alipay_answer("error_response", json.dumps(said, ensure_ascii=False))
        token = {
            "access_token": "of-the-user",
            "expires_in": "300",
            "auth_start": "2026-01-01 00:00:00",
        }
        kind = "user_id" if user.startswith("2088") else "open_id"
        text = json.dumps({**token, kind: user, "re": "a/b"}).replace("/", "\\/")
        return self._alipay_answer("alipay_system_oauth_token_response", text)

    def _alipay_refusal(
        self, request: web.Request, form: Mapping[str, str]
    ) -> tuple[str, str, str] | None:
        app = self.alipay_apps.get(form.get("app_id", ""))
        if app is None:
            return "40002", "isv.invalid-app-id", "无效的AppID参数"
        wanted = {
            "method": "alipay.system.oauth.token",
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "version": "1.0",
            "grant_type": "authorization_code",
        }
        china = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=8)
        sent = datetime.strptime(form.get("timestamp", ""), "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007
        signed = "&".join(map("=".join, sorted(item for item in form.items() if item[0] != "sign")))
        numbers = (form.get("app_cert_sn"), form.get("alipay_root_cert_sn"))
        roots = f"{key_pair('root 1').sn}_{key_pair('root 2').sn}"
        token = form.get("app_auth_token")
        checks = {
            "isv.invalid-parameter": wanted.items() <= form.items() and request.charset == "utf-8",
            "isv.invalid-timestamp": abs(china - sent) <= _CLOCK_SKEW,
            "isv.invalid-signature": app.has_signed(signed, form.get("sign", "")),
            "isv.invalid-cert-sn": numbers
            == ((app.sn, roots) if self.certificates else (None, None)),
            "aop.invalid-app-auth-token": token is None or token in self.entrusted,
        }
        wrong = next((code for code, fits in checks.items() if not fits), None)
        return ("40002", wrong, "参数有误") if wrong else None

    def _alipay_answer(self, name: str, text: str) -> web.Response:
        platform = key_pair("alipay")
        signed = text.replace("\\/", "/") if self.signed_without_escapes else text
        number = f'"alipay_cert_sn":"{platform.sn}",' if self.certificates else ""
        body = f'{{"{name}":{text},{number}"sign":"{platform.sign(signed)}"}}'
        return web.Response(text=body, content_type="text/html")

    async def _wechat(self, request: web.Request) -> web.Response:
        query = request.query
        if self.secrets.get(query.get("appid", "")) != query.get("secret"):
            said: dict[str, Any] = {"errcode": 40125, "errmsg": "invalid appsecret, rid: 1-2-3"}
        elif query.get("grant_type") != "authorization_code":
            said = {"errcode": 40002, "errmsg": "invalid grant_type"}
        elif not (user := self._user_of("wechat", query.get("js_code", ""))):
            said = {"errcode": 40029, "errmsg": "invalid code, rid: 1-2-3"}
        else:
            said = {"openid": user, "unionid": f"union-{user}", "session_key": "c2Vzc2lvbi1rZXk="}
        return web.Response(text=json.dumps(said), content_type="text/plain")

    async def _dingtalk_token(self, request: web.Request) -> web.Response:
        sent = await request.json()
        if set(sent) != {"appKey", "appSecret"} or (
            self.secrets.get(sent["appKey"]) != sent["appSecret"]
        ):
            said = {"code": "invalidClientIdOrSecret", "message": "无效的clientId或者clientSecret"}
            return web.json_response({**said, "requestid": "1"}, status=400)
        token = f"access-token-{len(self.asked)}"
        self.dingtalk_tokens.add(token)
        return web.json_response({"accessToken": token, "expireIn": 7200})

    async def _dingtalk_user(self, request: web.Request) -> web.Response:
        sent = await request.json()
        if request.query.get("access_token") not in self.dingtalk_tokens:
            said: dict[str, Any] = {
                "errcode": 88,
                "sub_code": "40014",
                "sub_msg": "不合法的access_token",
            }
        elif not (user := self._user_of("dingtalk", sent.get("code", ""))):
            said = {"errcode": 40078, "errmsg": "不存在的临时授权码"}
        else:
            result = {"userid": user, "unionid": f"union-{user}", "sys": False}
            said = {"errcode": 0, "errmsg": "ok", "result": result}
        return web.json_response(said)
