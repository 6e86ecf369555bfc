"""The rules of a space and a function at a sandbox's real gate, from its binding on."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from runtime.backends.http_aiohttp import AiohttpHttpClient
from runtime.errors import TargetRefusedError
from runtime.ports import HttpRequest, HttpTraffic
from sandbox.api import EgressRules, LogLine, Usage
from sandbox.egress.access import EgressAccess
from sandbox.egress.names import Names
from sandbox.egress.policy import EgressPolicy
from sandbox.sandbox_egress import EGRESS, SandboxEgress
from tests.integration.egress_support import Gate, echo, on_both_loops, serve

pytestmark = pytest.mark.integration


class Sandboxes:
    """Gates of one worker, each for a sandbox that is bound under its own rules."""

    def __init__(self, folder: Path, *, allow: str = "", extend: bool = True) -> None:
        self.looked_up: list[str] = []
        self.lines: list[str] = []
        self._folder = folder
        self._access = EgressAccess(
            policy=EgressPolicy.from_text(allow=allow), extend=extend, names=Names(self._lookup)
        )
        self._open: list[SandboxEgress] = []

    def start(self) -> tuple[SandboxEgress, Gate]:
        """Started, not bound."""
        folder = self._folder / str(len(self._open))
        folder.mkdir()
        egress = SandboxEgress(self._access, folder / EGRESS, self._note)
        self._open.append(egress)
        return egress, Gate(egress._gate, egress.path)

    def bound(self, rules: EgressRules) -> Gate:
        egress, gate = self.start()
        egress.admit(rules)
        return gate

    async def close(self) -> None:
        for egress in self._open:
            await egress.close()

    def _lookup(self, name: str) -> Sequence[str]:
        self.looked_up.append(name)
        return ["127.0.0.1"]

    def _note(self, line: LogLine) -> None:
        self.lines.append(line.text)


async def reached(gate: Gate, port: int, host: str = "127.0.0.1") -> bool:
    status, fields, peer = await gate.request(host, port)
    if status == 200:
        assert await peer.exchange(b"hello") == b"hello"
    else:
        assert (status, fields["X-Egress-Error"]) == (403, "EACCES")
    await peer.close()
    return status == 200


@on_both_loops
async def test_each_sandbox_has_the_rules_that_it_was_bound_under() -> None:
    with tempfile.TemporaryDirectory(prefix="eg") as folder:
        sandboxes = Sandboxes(Path(folder))
        async with serve(echo) as port, serve(echo) as other:
            egress, unbound = sandboxes.start()
            assert not await reached(unbound, port)
            egress.admit(EgressRules(allow=(f"127.0.0.1:{port}",)))
            assert await reached(unbound, port)
            assert not await reached(unbound, other)
            plain = sandboxes.bound(EgressRules())
            assert not await reached(plain, port)
            named = sandboxes.bound(EgressRules(False, (f"db.internal:{port}",)))
            assert await reached(named, port, "db.internal")
            assert not await reached(named, other, "db.internal")
            assert not await reached(named, port, "secret.attacker.example")
            assert not await reached(named, port)
        await sandboxes.close()
    assert sandboxes.looked_up == ["db.internal"]
    assert sandboxes.lines[0].startswith(f"connection to 127.0.0.1:{port} refused: 127.0.0.1 is a")
    assert f"connection to 127.0.0.1:{other} refused: " in sandboxes.lines[1]
    assert len(sandboxes.lines) == 6
    billed = egress.billed(Usage(), egress.counts() - egress.counts())
    assert (billed.egress_connections, billed.egress_refused, billed.egress_bytes) == (1, 2, 10)


@on_both_loops
async def test_a_worker_that_lets_rules_narrow_only_is_not_opened_by_them() -> None:
    with tempfile.TemporaryDirectory(prefix="eg") as folder:
        async with serve(echo) as port, serve(echo) as other:
            sandboxes = Sandboxes(Path(folder), allow=f"127.0.0.1:{port}", extend=False)
            everything = ("0.0.0.0/0", "db.internal")
            for inherit in (True, False):
                gate = sandboxes.bound(EgressRules(inherit, everything))
                assert await reached(gate, port)
                assert not await reached(gate, other)
                assert await reached(gate, port, "db.internal")
                assert not await reached(gate, other, "db.internal")
            nothing = sandboxes.bound(EgressRules(False))
            assert not await reached(nothing, port)
            await sandboxes.close()


@on_both_loops
async def test_what_the_worker_sends_for_a_function_is_under_the_functions_rules() -> None:
    async def pong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    client = AiohttpHttpClient(EgressAccess(policy=EgressPolicy()))
    async with serve(pong) as port:

        async def send(egress: EgressRules) -> int:
            request = HttpRequest(
                method="GET",
                url=f"http://127.0.0.1:{port}/",
                headers={},
                body=b"",
                response_max_bytes=100,
                timeout_s=10,
                egress=egress,
            )
            return (await client.send(request, HttpTraffic())).status

        assert await send(EgressRules(allow=(f"127.0.0.1:{port}",))) == 204
        for rules in (EgressRules(), EgressRules(False)):
            with pytest.raises(TargetRefusedError, match="loopback address"):
                await send(rules)
