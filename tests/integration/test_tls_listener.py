"""The TLS listener on a real port, under both loops, as Python's and Node.js's clients see it."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from runtime.ports import SystemClock
from runtime.tls.certificates import CertificateAndKey
from runtime.tls.contexts import TlsContexts
from runtime.tls.local_ca import LocalCa, local_names
from sandbox.node_runtimes import find_node_runtimes
from tests.unit.tls.tls_support import Issued, issue

pytestmark = pytest.mark.integration

SPACE_HOST = "mp-x.fn.localhost"
CUSTOM_HOST = "api.example.com"
NOW = datetime.now(UTC)
issue_now = partial(issue, start=NOW - timedelta(days=1), end=NOW + timedelta(days=30))
HALF_A_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
GARBAGE = [
    b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
    b"\x00" * 2000,
    b"\x16\x03\x01\x00\x05" + b"\xff" * 5,
    b"\x15\x03\x01\x00\x02\x02\x28",
    HALF_A_HELLO + b"\x00" * 600,
]

# Answers {status, authorized} or {code}. Resolvers need not know *.localhost: the address is given.
NODE_CLIENT = """
const [host, port] = process.argv.slice(1)
const lookup = (_name, options, done) =>
  options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)
const say = answer => console.log(JSON.stringify(answer))
require('https').get({ host, port, lookup, agent: false }, response => {
  response.resume().on('end', () =>
    say({ status: response.statusCode, authorized: response.socket.authorized }))
}).on('error', error => say({ code: error.code, message: error.message }))
"""


@dataclass
class Listener:
    """What a test needs to know of the listener it talks to."""

    ca: LocalCa
    contexts: TlsContexts
    known: dict[str, CertificateAndKey] = field(default_factory=dict)
    port: int = 0

    def trusting(self, *roots: Issued) -> ssl.SSLContext:
        """A client that knows these roots, or the local authority when none is given."""
        if not roots:
            return ssl.create_default_context(cafile=str(self.ca.ca_path))
        return ssl.create_default_context(cadata="".join(root.pem for root in roots))

    async def connect(
        self, host: str, client: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=client or self.trusting(), server_hostname=host
        )

    async def get(self, host: str, client: ssl.SSLContext | None = None) -> str:
        """The body that `host` answers, over a connection of its own."""
        reader, writer = await self.connect(host, client)
        try:
            return await ask(reader, writer, host)
        finally:
            await close(writer)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> str:
    writer.write(f"GET / HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    return (await reader.readexactly(length)).decode()


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def echo_host(request: web.Request) -> web.Response:
    return web.Response(text=f"for {request.host} by {request.scheme}")


@asynccontextmanager
async def listening(folder: Path) -> AsyncIterator[Listener]:
    known: dict[str, CertificateAndKey] = {}
    ca = LocalCa(folder, local_names("fn.localhost", ["127.0.0.1:8743"]), SystemClock())
    contexts = TlsContexts(ca.server_certificate(), known.get, contexts_max=8)
    app = web.Application()
    app.router.add_get("/", echo_host)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=contexts.listener_context())
        await site.start()
        yield Listener(ca, contexts, known, site.port)
    finally:
        await runner.cleanup()


OnLoop = Callable[[Callable[[Listener], Coroutine[Any, Any, None]]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def on_loop(request: pytest.FixtureRequest, tmp_path: Path) -> OnLoop:
    """Runs a test's body with a listener; nothing may reach the loop's exception handler."""

    def run(body: Callable[[Listener], Coroutine[Any, Any, None]]) -> None:
        troubles: list[dict[str, Any]] = []

        async def main() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, what: troubles.append(what))
            async with listening(tmp_path / "tls") as listener:
                await body(listener)

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(main())
        assert troubles == []

    return run


# --- who is believed --------------------------------------------------------------------------


@pytest.mark.parametrize("host", [SPACE_HOST, "fn.localhost", "localhost", "127.0.0.1"])
def test_python_verifies_our_names(on_loop: OnLoop, host: str) -> None:
    async def body(listener: Listener) -> None:
        assert await listener.get(host) == f"for {host} by https"

    on_loop(body)


def test_a_name_that_is_not_ours_is_refused_by_the_client(on_loop: OnLoop) -> None:
    async def body(listener: Listener) -> None:
        for host in ("a.b.fn.localhost", CUSTOM_HOST, "127.0.0.2"):
            with pytest.raises(ssl.SSLCertVerificationError):
                await listener.get(host)
        assert await listener.get(SPACE_HOST)

    on_loop(body)


def test_a_client_without_the_authority_refuses_us(on_loop: OnLoop) -> None:
    async def body(listener: Listener) -> None:
        with pytest.raises(ssl.SSLCertVerificationError, match="issuer certificate"):
            await listener.get(SPACE_HOST, ssl.create_default_context())
        assert await listener.get(SPACE_HOST)

    on_loop(body)


def test_a_stolen_authority_cannot_speak_for_other_sites(on_loop: OnLoop) -> None:
    async def body(listener: Listener) -> None:
        listener.known[CUSTOM_HOST] = stolen_authority(listener.ca.ca_path).pair()
        with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
            await listener.get(CUSTOM_HOST)

    on_loop(body)


def stolen_authority(ca_path: Path) -> Issued:
    """A certificate for another site, signed with our authority's key."""
    key = load_pem_private_key(ca_path.with_name("ca-key.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    authority = Issued(x509.load_pem_x509_certificate(ca_path.read_bytes()), key)
    return issue_now(CUSTOM_HOST, by=authority)


def test_node_verifies_us_with_the_authority_only(on_loop: OnLoop) -> None:
    async def body(listener: Listener) -> None:
        listener.known[CUSTOM_HOST] = stolen_authority(listener.ca.ca_path).pair()
        ca = {"NODE_EXTRA_CA_CERTS": str(listener.ca.ca_path)}
        for node in await node_executables():
            good = {"status": 200, "authorized": True}
            assert await node_gets(node, SPACE_HOST, listener.port, ca) == good
            assert await node_gets(node, "127.0.0.1", listener.port, ca) == good
            unknown = await node_gets(node, SPACE_HOST, listener.port, {})
            assert unknown["code"] == "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
            stolen = await node_gets(node, CUSTOM_HOST, listener.port, ca)
            assert "permitted subtree violation" in stolen["message"]

    on_loop(body)


async def node_executables() -> list[str]:
    """The one that is installed with us, and that of this machine if it has one."""
    ours = [str(runtime.path) for runtime in (await find_node_runtimes("")).values()]
    assert ours
    system = shutil.which("node")
    return ours + ([system] if system else [])


async def node_gets(node: str, host: str, port: int, environ: dict[str, str]) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        node, "-e", NODE_CLIENT, host, str(port), stdout=asyncio.subprocess.PIPE, env=environ
    )
    output, _ = await process.communicate()
    answer: dict[str, Any] = json.loads(output)
    return answer


# --- which certificate ------------------------------------------------------------------------


def test_a_custom_domain_gets_its_certificate(on_loop: OnLoop) -> None:
    async def body(listener: Listener) -> None:
        root = issue_now(ca=True, common_name="public root")
        middle = issue_now(ca=True, by=root, common_name="public middle")
        listener.known[CUSTOM_HOST] = issue_now(CUSTOM_HOST, by=middle).pair(middle)
        client = listener.trusting(root)
        answers = await asyncio.gather(
            *(listener.get(CUSTOM_HOST, client) for _ in range(5)),
            *(listener.get(SPACE_HOST) for _ in range(5)),
        )
        assert answers == [f"for {CUSTOM_HOST} by https"] * 5 + [f"for {SPACE_HOST} by https"] * 5
        with pytest.raises(ssl.SSLCertVerificationError):
            await listener.get(SPACE_HOST, client)

    on_loop(body)


def test_renewal_needs_no_new_listener_and_breaks_no_connection(on_loop: OnLoop) -> None:
    async def body(listener: Listener) -> None:
        old_client = listener.trusting()
        reader, writer = await listener.connect(SPACE_HOST, old_client)
        before = writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]
        assert await ask(reader, writer, SPACE_HOST)
        listener.ca.ca_path.with_name("server.pem").unlink()
        listener.contexts.renew(listener.ca.server_certificate())
        assert await ask(reader, writer, SPACE_HOST)
        await close(writer)
        reader, writer = await listener.connect(SPACE_HOST, old_client)
        assert writer.get_extra_info("ssl_object").getpeercert()["serialNumber"] != before
        await close(writer)

    on_loop(body)


# --- bad handshakes ---------------------------------------------------------------------------


def test_bad_handshakes_block_nobody_and_leave_nothing(on_loop: OnLoop) -> None:
    async def body(listener: Listener) -> None:
        assert await listener.get(SPACE_HOST)
        before = await settled_descriptors()
        silent = [await raw(listener.port, b"") for _ in range(20)]
        slow = [await raw(listener.port, HALF_A_HELLO) for _ in range(20)]
        for content in GARBAGE * 4:
            reader, writer = await raw(listener.port, content)
            with suppress(ConnectionError):
                await reader.read()  # ends: the server closes
            await close(writer)
        assert await asyncio.gather(*(listener.get(SPACE_HOST) for _ in range(10)))
        for _reader, writer in silent + slow:
            await close(writer)
        assert await settled_descriptors(before) == before

    on_loop(body)


def test_a_client_that_goes_away_in_the_middle_leaves_nothing(on_loop: OnLoop) -> None:
    async def body(listener: Listener) -> None:
        assert await listener.get(SPACE_HOST)
        before = await settled_descriptors()
        for _ in range(20):
            _reader, writer = await raw(listener.port, HALF_A_HELLO)
            writer.transport.abort()
        for _ in range(20):
            _reader, writer = await listener.connect(SPACE_HOST)
            writer.transport.abort()
        assert await settled_descriptors(before) == before
        assert await listener.get(SPACE_HOST)

    on_loop(body)


def test_a_limit_for_handshakes_closes_slow_ones(on_loop: OnLoop) -> None:
    """`TCPSite` has none (the loop's 60 s count), `create_server` with the same context has."""

    async def body(listener: Listener) -> None:
        server = await asyncio.get_running_loop().create_server(
            asyncio.Protocol,
            "127.0.0.1",
            0,
            ssl=listener.contexts.listener_context(),
            ssl_handshake_timeout=0.1,
        )
        async with server:
            port = server.sockets[0].getsockname()[1]
            for content in (b"", HALF_A_HELLO):
                reader, writer = await raw(port, content)
                with suppress(ConnectionError):
                    assert await reader.read() == b""
                await close(writer)

    on_loop(body)


async def raw(port: int, content: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A TCP connection on which `content` was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(content)
    return reader, writer


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def settled_descriptors(expected: int | None = None) -> int:
    """Their number once it is the expected one, or, after some time, whatever it is."""
    last = -1
    with suppress(TimeoutError):
        async with asyncio.timeout(10):
            while (now := descriptors()) != (last if expected is None else expected):
                last = now
                await asyncio.sleep(0.02)
    return descriptors()
