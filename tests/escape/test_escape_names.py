"""DNS rebinding through a real sandbox: a name that means something else at every look."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sandbox.api import OutcomeKind, Spawner
from sandbox.egress.access import EgressAccess
from sandbox.egress.names import Names
from sandbox.egress.policy import EgressPolicy
from tests.escape.rungs import WALLED
from tests.escape.sandboxes import assert_innocent_answers, invoke, open_sandbox

# `process` has no gate: nothing resolves names for it but the machine itself.
pytestmark = [pytest.mark.integration, pytest.mark.parametrize("rung", WALLED, indirect=True)]

# One may be reached, the other may not; both are this machine's, so nothing leaves it.
ALLOWED, FORBIDDEN = "127.0.0.2", "127.0.0.1"
NAME = "rebind.example"


@dataclass(kw_only=True)
class Resolver:
    """Answers each look-up with the next of `answers`, over and over."""

    answers: Sequence[Sequence[str]]
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._next = itertools.cycle(self.answers)

    def lookup(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        return next(self._next)


@pytest.fixture
def resolver(request: pytest.FixtureRequest) -> Resolver:
    return Resolver(answers=request.param)


@pytest.fixture
def access(resolver: Resolver) -> EgressAccess:
    policy = EgressPolicy.from_text(allow=ALLOWED)
    return EgressAccess(policy=policy, names=Names(resolver.lookup))


@dataclass(kw_only=True)
class Servers:
    """On one port of both addresses. `forbidden` counts the connections to the one that may not be."""

    port: int
    forbidden: int = 0


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    async def allowed(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"allowed")
        writer.close()

    async def forbidden(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        both.forbidden += 1
        writer.write(b"forbidden")
        writer.close()

    async with await asyncio.start_server(allowed, ALLOWED, 0) as one:
        both = Servers(port=one.sockets[0].getsockname()[1])
        async with await asyncio.start_server(forbidden, FORBIDDEN, both.port):
            yield both


async def ask(spawner: Spawner, folder: Path, port: int, times: int) -> list[dict[str, Any]]:
    sandbox = await open_sandbox(spawner, folder, "attack", "rebinding")
    try:
        ending = await invoke(sandbox, {"host": NAME, "port": port, "times": times})
    finally:
        await sandbox.stop()
    assert ending.kind is OutcomeKind.OK, ending
    assert ending.value is not None
    answers: list[dict[str, Any]] = json.loads(ending.value)
    return answers


@pytest.mark.parametrize(
    "resolver",
    [
        pytest.param([[ALLOWED], [FORBIDDEN]], id="good, then bad"),
        pytest.param([[FORBIDDEN], [ALLOWED]], id="bad, then good"),
        pytest.param([[ALLOWED], ["169.254.169.254"]], id="good, then metadata"),
        pytest.param([[ALLOWED], ["::ffff:127.0.0.1"]], id="good, then bad in another spelling"),
    ],
    indirect=True,
)
async def test_each_connection_goes_where_its_own_look_up_was_checked(
    spawner: Spawner, folder: Path, resolver: Resolver, servers: Servers
) -> None:
    answers = await ask(spawner, folder, servers.port, 6)
    # One look-up for each connection: a second one could have another answer.
    assert resolver.asked == [NAME] * 12
    good = [answer for answer in answers if answer["said"]]
    bad = [answer for answer in answers if not answer["said"]]
    assert [answer["said"] for answer in good] == ["allowed"] * 6
    assert {answer["status"] for answer in bad} <= {403, "EACCES"}
    assert len(bad) == 6
    assert servers.forbidden == 0
    await assert_innocent_answers(spawner, folder)


@pytest.mark.parametrize(
    "resolver",
    [
        pytest.param([[FORBIDDEN, ALLOWED]], id="bad first"),
        pytest.param([[ALLOWED, FORBIDDEN]], id="good first"),
    ],
    indirect=True,
)
async def test_of_several_addresses_only_the_checked_ones_are_dialled(
    spawner: Spawner, folder: Path, resolver: Resolver, servers: Servers
) -> None:
    answers = await ask(spawner, folder, servers.port, 3)
    assert [answer["said"] for answer in answers] == ["allowed"] * 6
    assert servers.forbidden == 0
    assert resolver.asked == [NAME] * 6
