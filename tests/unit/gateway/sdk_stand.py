"""`/client` and `/server` on a real port: spaces of their own, a queue and a database that only tell."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from runtime.backends.control_memory import ControlMemory
from runtime.gateway.bodies import BodyBudget
from runtime.gateway.client_api import ClientApi
from runtime.gateway.cross_origin import CrossOrigin
from runtime.gateway.request_id import request_id_of
from runtime.gateway.sdk_requests import SdkRequests
from runtime.gateway.server_api import ServerApi
from runtime.messages import Function, Job, Outcome, Space, SpaceStatus
from runtime.ports import HttpClient, HttpRequest, HttpResponse, HttpTraffic
from runtime.sealing import SecretBox
from runtime.services.client_calls import ClientCalls
from runtime.services.directory import SpaceDirectory
from runtime.services.http_proxy import HttpProxy
from runtime.services.invoke import InvokeService, JobFactory
from runtime.services.server_calls import ServerCalls
from runtime.services.space_keys import client_secret_context
from runtime.services.tokens import TokenService
from runtime.settings import Settings
from runtime.signatures.sdk_client import string_to_sign
from runtime.wiring.limits import http_proxy_limits
from sandbox.api import OutcomeKind
from tests.harness.async_jobs import ListQueue, Records
from tests.harness.clock import FakeClock
from tests.harness.doors import no_limits, open_door
from tests.harness.service_calls import memory_parts, user_service

FIXTURES = Path(__file__).parents[2] / "fixtures"
KEYS = json.loads((FIXTURES / "keys.json").read_text())
CAPTURED: list[dict[str, Any]] = json.loads((FIXTURES / "signatures_sdk_server.json").read_text())
CAPTURED_SPACE = KEYS["spaceId"]
SPACE = "mp-own"
PAUSED = "mp-paused"
BROKEN = "mp-broken"
"""Its stored public key is none."""
NOW_MS = 1_600_000_002_000
"""About when the captured requests claim to be made."""
SKEW_S = 600
BODY_MAX_BYTES = 100_000
_BOX = SecretBox(b"k" * 32)


@cache
def private_key() -> rsa.RSAPrivateKey:
    """Of `SPACE` and `PAUSED`."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def code(self) -> str:
        assert self.body["success"] is False, self.body
        return str(self.body["error"]["code"])

    @property
    def message(self) -> str:
        return str(self.body["error"]["message"])


class ToldQueue(ListQueue):
    """Every job's result is `{"ok":true}`."""

    async def call(self, job: Job) -> Outcome:
        self.jobs.append((job, 0.0))
        return Outcome(request_id=job.request_id, kind=OutcomeKind.OK, value=b'{"ok":true}')


class ToldDocuments:
    """A database that keeps what it is asked. `error` is raised instead of an answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Mapping[str, Any], str | None]] = []
        self.error: Exception | None = None

    async def trusted(
        self, space_id: str, params: Mapping[str, Any], *, user_id: str | None = None
    ) -> bytes:
        self.asked.append((space_id, params, user_id))
        if self.error is not None:
            raise self.error
        return b'{"affectedDocs":1,"result":[{"_id":"a"}]}'


class ToldHttp(HttpClient):
    """Answers every request alike."""

    def __init__(self) -> None:
        self.sent: list[HttpRequest] = []

    async def send(self, request: HttpRequest, traffic: HttpTraffic) -> HttpResponse:
        self.sent.append(request)
        return HttpResponse(status=201, headers={}, body=b"pong")


@dataclass
class SdkStand:
    """For tests to reach into."""

    url: str
    session: ClientSession
    clock: FakeClock
    queue: ToldQueue = field(default_factory=ToldQueue)
    documents: ToldDocuments = field(default_factory=ToldDocuments)
    http: ToldHttp = field(default_factory=ToldHttp)
    budget: BodyBudget = field(default_factory=lambda: BodyBudget(10 * BODY_MAX_BYTES))

    async def post(
        self, body: bytes, signature: str = "", *, path: str = "/server", **headers: str
    ) -> Answer:
        """Headers are named with `_` for `-`."""
        sent = {"x-serverless-sign": signature} if signature else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.post(self.url + path, data=body, headers=sent) as response:
            answer = Answer(response.status, dict(response.headers), await response.json())
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        return answer

    async def ask(self, fields: Mapping[str, Any], **headers: str) -> Answer:
        """A well signed request with these fields of its body."""
        body = body_of(fields)
        return await self.post(json.dumps(body).encode(), sign(body), **headers)

    @property
    def job(self) -> Job:
        """The one that was made since the last look."""
        [(job, _)] = self.queue.jobs
        self.queue.jobs.clear()
        return job


def body_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`fields` over those of a good call; None leaves one out."""
    body = {
        "spaceId": SPACE,
        "method": "serverless.function.runtime.invoke",
        "params": json.dumps({"functionTarget": "hello", "functionArgs": {"a": 1}}),
        "timestamp": NOW_MS,
        **fields,
    }
    return {name: value for name, value in body.items() if value is not None}


def sign(body: Mapping[str, Any], key: rsa.RSAPrivateKey | None = None) -> str:
    """As the server SDK does."""
    key = key or private_key()
    return key.sign(string_to_sign(body), padding.PKCS1v15(), hashes.MD5()).hex()


@asynccontextmanager
async def open_stand() -> AsyncIterator[SdkStand]:
    """The spaces that the constants name, each with the function `hello`."""
    store = ControlMemory()
    for space in _spaces():
        await store.create_space(space)
    clock = FakeClock(NOW_MS)
    directory = SpaceDirectory(
        store=store, box=_BOX, clock=clock, max_age_s=3600, poll_s=3600, max_spaces=9
    )
    listener = socket.create_server(("127.0.0.1", 0))
    async with ClientSession() as session:
        stand = SdkStand(f"http://127.0.0.1:{listener.getsockname()[1]}", session, clock)
        invoker = InvokeService(
            directory=directory,
            queue=stand.queue,
            jobs=JobFactory(
                args_max_bytes=100_000,
                timeout_sync_max_s=60,
                timeout_async_max_s=60,
                queue_wait_s=1,
            ),
            records=Records(),
            clock=clock,
        )
        tokens = TokenService(
            store=store, box=_BOX, clock=clock, ttl_s=60, rotate_s=3600, settle_s=10
        )
        await tokens.load()
        requests = SdkRequests(
            directory=directory,
            clock=clock,
            body_max_bytes=BODY_MAX_BYTES,
            clock_skew_s=SKEW_S,
            body_timeout_s=5,
            budget=stand.budget,
            door=open_door(),
            origins=CrossOrigin(),
        )
        parts = memory_parts(directory, box=_BOX, clock=clock)
        client = ClientCalls(
            tokens=tokens,
            invoker=invoker,
            documents=None,  # type: ignore[arg-type]
            users=user_service(tokens, parts.users, box=_BOX, clock=clock),
            profiles=parts.profiles,
            files=parts.files.calls,
            rates=no_limits(),
        )
        server = ServerCalls(
            invoker=invoker,
            documents=stand.documents,
            profiles=parts.profiles,
            files=parts.files.calls,
            redis=parts.redis,
            http=HttpProxy(stand.http, http_proxy_limits(Settings())),
        )
        app = web.Application()
        app.on_response_prepare.append(_tell_id)
        app.router.add_post("/client", ClientApi(requests=requests, calls=client).handle)
        app.router.add_post("/server", ServerApi(requests=requests, calls=server).handle)
        runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            yield stand
        finally:
            await runner.cleanup()
    assert stand.budget.held == 0


async def _tell_id(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["request-id"] = request_id_of(request)


def _spaces() -> list[Space]:
    public = (
        private_key()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    hello = Function(name="hello", live_deployment_id="dep-1", live_digest="d1")

    def space(space_id: str, secret: str = "secret") -> Space:
        return Space(
            space_id=space_id,
            name=space_id,
            client_secret_sealed=_BOX.seal(
                secret.encode(), context=client_secret_context(space_id)
            ),
            private_key_sealed=b"",
            public_key_pem=public.decode(),
            created_ms=1,
            modified_ms=1,
            functions={"hello": hello},
        )

    return [
        space(SPACE),
        replace(space(PAUSED), status=SpaceStatus.PAUSED),
        replace(space(BROKEN), public_key_pem="-----BEGIN PUBLIC KEY-----\n"),
        replace(
            space(CAPTURED_SPACE, KEYS["clientSecret"]), public_key_pem=KEYS["serverPublicKey"]
        ),
    ]
