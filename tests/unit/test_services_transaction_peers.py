"""Commands and answers on their way between processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from runtime.documents.errors import NO_SUCH_TRANSACTION, WRITE_CONFLICT, DatabaseError
from runtime.documents.owner import PermissionDeniedError
from runtime.errors import (
    CallerError,
    InvalidParameterError,
    OursError,
    OverloadedError,
    UnavailableError,
    YunhanError,
)
from runtime.messages import CommandBounds, DocumentAnswer, DocumentCommand, Verb
from runtime.ports import NobodyThereError, PeerHandler, Peers
from runtime.services.transaction_peers import QuestionBounds, TransactionsElsewhere, answer_for
from tests.harness.polling import until

BOUNDS = CommandBounds(documents=1, answer_bytes=2, time_ms=1000)
ROOMY = QuestionBounds(per_space=9, total=9)
COMMAND = DocumentCommand(
    verb=Verb.INSERT_ONE,
    collection="users",
    transaction_id=f"tx-{'a' * 16}-{'0' * 24}",
    arguments={"doc": {"name": "tom"}},
    options={"maxTimeMS": 7},
)


class Wire(Peers):
    """Two processes that hear each other: `a` and nobody else."""

    def __init__(self, handler: PeerHandler) -> None:
        self.handler = handler
        self.asked: list[tuple[bytes, float]] = []

    @asynccontextmanager
    async def open(self, process_id: str, handler: PeerHandler) -> AsyncIterator[None]:
        yield

    async def ask(self, process_id: str, question: bytes, *, timeout_s: float) -> bytes:
        if process_id != "a":
            raise NobodyThereError(process_id)
        self.asked.append((question, timeout_s))
        return await self.handler(question)

    @property
    def problem(self) -> str | None:
        return None

    async def wait_failed(self) -> None:
        raise NotImplementedError


class Owner:
    """Keeps what it is asked, answers or raises what it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, DocumentCommand, CommandBounds]] = []
        self.answer = DocumentAnswer(affected=1, result={"text": "你好"}, extra={"n": 1})
        self.error: Exception | None = None

    async def run_here(
        self, space_id: str, command: DocumentCommand, bounds: CommandBounds
    ) -> DocumentAnswer:
        self.seen.append((space_id, command, bounds))
        if self.error is not None:
            raise self.error
        return self.answer


async def send(owner: Owner, command: DocumentCommand = COMMAND) -> DocumentAnswer:
    elsewhere = TransactionsElsewhere(Wire(answer_for(owner.run_here, ROOMY)))
    return await elsewhere.send("a", "mp-1", command, BOUNDS)


async def test_command_and_answer_arrive_as_they_were() -> None:
    owner = Owner()
    assert await send(owner) == owner.answer
    assert owner.seen == [("mp-1", COMMAND, BOUNDS)]
    assert isinstance(owner.seen[0][1].verb, Verb)


@pytest.mark.parametrize(
    "value", [2**70, -(2**70), "\ud800", "\0", 1e300, 0.1, None, [[]], {"": {"$x": 1}}, 2**53 + 1]
)
async def test_whatever_a_client_can_send_arrives(value: Any) -> None:
    """Also what a fast writer of JSON refuses: the owner answers it as it would at home."""
    owner = Owner()
    command = replace(COMMAND, arguments={"doc": {"value": value}})
    await send(owner, command)
    assert owner.seen[0][1] == command


async def test_nobody_there_is_no_transaction() -> None:
    elsewhere = TransactionsElsewhere(Wire(answer_for(Owner().run_here, ROOMY)))
    with pytest.raises(DatabaseError) as error:
        await elsewhere.send("b", "mp-1", COMMAND, BOUNDS)
    assert error.value.number == NO_SUCH_TRANSACTION


async def test_an_answer_of_a_usual_command_comes_while_an_sdk_waits() -> None:
    wire = Wire(answer_for(Owner().run_here, ROOMY))
    elsewhere = TransactionsElsewhere(wire)
    await elsewhere.send("a", "mp-1", COMMAND, BOUNDS)
    await elsewhere.send("a", "mp-1", COMMAND, replace(BOUNDS, time_ms=60_000))
    usual_s, long_s = (timeout_s for _, timeout_s in wire.asked)
    assert BOUNDS.time_ms / 1000 < usual_s < 5  # the SDKs' own time-out
    assert long_s > 60


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DatabaseError(WRITE_CONFLICT, "it lost"), DatabaseError),
        (DatabaseError(NO_SUCH_TRANSACTION, "it is over"), DatabaseError),
        (InvalidParameterError("doc", "it is wrong"), CallerError),
        (PermissionDeniedError("users", ".write"), CallerError),
        (OverloadedError("16 wait"), OverloadedError),
        (UnavailableError("the database is away"), OursError),
    ],
)
async def test_errors_keep_blame_code_and_message(
    error: YunhanError, kind: type[YunhanError]
) -> None:
    owner = Owner()
    owner.error = error
    with pytest.raises(kind) as told:
        await send(owner)
    assert (told.value.code, told.value.message) == (error.code, error.message)
    assert told.value.blame is error.blame
    assert type(told.value) is kind


async def test_a_defect_of_the_owner_is_answered_and_not_told() -> None:
    owner = Owner()
    owner.error = RuntimeError("a secret")
    with capture_logs() as logs, pytest.raises(OursError) as error:
        await send(owner)
    assert "secret" not in error.value.message
    assert [each["event"] for each in logs] == ["peer_command_failed"]


@pytest.mark.parametrize(
    "question",
    [
        *[b"", b"{", b"[]", b"{}", b"null", b'{"space":"mp-1","command":[],"bounds":{}}'],
        b'{"space":"mp-1","command":{"verb":"reboot"},"bounds":{}}',
        b'{"space":"mp-1","command":{"verb":"find","more":1},"bounds":{}}',
        b'{"space":"mp-1","command":{"verb":"find"},"bounds":{"documents":1}}',
    ],
)
async def test_a_question_of_another_version_is_refused_and_not_run(question: bytes) -> None:
    owner = Owner()
    elsewhere = TransactionsElsewhere(Wire(lambda _: answer_for(owner.run_here, ROOMY)(question)))
    with pytest.raises(OursError, match="do all run the same version"):
        await elsewhere.send("a", "mp-1", COMMAND, BOUNDS)
    assert owner.seen == []


@pytest.mark.parametrize(
    "answer",
    [
        *[b"", b"{", b"[]", b"null", b"{}", b'{"affected":1}', b'{"error":1}', b'{"error":{}}'],
        *[b'{"error":{"code":"x"}}', b'{"error":{"code":"x","message":"y"}}', b'{"error":[]}'],
    ],
)
async def test_an_answer_of_another_version_is_an_error_of_ours(answer: bytes) -> None:
    async def handler(_: bytes) -> bytes:
        return answer

    with pytest.raises(UnavailableError, match="cannot be read"):
        await TransactionsElsewhere(Wire(handler)).send("a", "mp-1", COMMAND, BOUNDS)


class SlowOwner:
    """What it is asked goes on until it is let go."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.go = asyncio.Event()

    async def run_here(
        self, space_id: str, command: DocumentCommand, bounds: CommandBounds
    ) -> DocumentAnswer:
        self.seen.append(f"{space_id} {command.verb}")
        await self.go.wait()
        return DocumentAnswer(affected=1)


async def test_a_space_takes_the_hands_of_no_other_and_ends_get_in() -> None:
    owner = SlowOwner()
    wire = Wire(answer_for(owner.run_here, QuestionBounds(per_space=2, total=3)))
    elsewhere = TransactionsElsewhere(wire)
    commit = replace(COMMAND, verb=Verb.COMMIT_TRANSACTION)
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(elsewhere.send("a", "mp-1", COMMAND, BOUNDS))
        await until(lambda: len(owner.seen) == 2)
        with pytest.raises(OverloadedError, match=r"mp-1 .* 2 are there .*PER_SPACE_MAX"):
            await elsewhere.send("a", "mp-1", COMMAND, BOUNDS)
        group.create_task(elsewhere.send("a", "mp-2", COMMAND, BOUNDS))
        await until(lambda: len(owner.seen) == 3)
        with pytest.raises(OverloadedError, match=r"mp-2 .* 3 are there .*TRANSACTIONS_MAX"):
            await elsewhere.send("a", "mp-2", COMMAND, BOUNDS)
        group.create_task(elsewhere.send("a", "mp-1", commit, BOUNDS))
        group.create_task(elsewhere.send("a", "mp-2", commit, BOUNDS))
        await until(lambda: len(owner.seen) == 5)
        with pytest.raises(OverloadedError, match="being ended already"):
            await elsewhere.send("a", "mp-1", commit, BOUNDS)
        owner.go.set()
    for command in (COMMAND, COMMAND, commit):  # all of it is free again
        await elsewhere.send("a", "mp-1", command, BOUNDS)


async def test_what_failed_leaves_its_place() -> None:
    owner = Owner()
    owner.error = DatabaseError(WRITE_CONFLICT, "it lost")
    wire = Wire(answer_for(owner.run_here, QuestionBounds(per_space=1, total=1)))
    for verb in [Verb.INSERT_ONE, Verb.COMMIT_TRANSACTION] * 2:
        with pytest.raises(DatabaseError):
            await TransactionsElsewhere(wire).send("a", "mp-1", replace(COMMAND, verb=verb), BOUNDS)
