"""What a caller is told of a server's errors, and whose they are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
import structlog
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    NetworkTimeout,
    OperationFailure,
    ServerSelectionTimeoutError,
    WriteConcernError,
)

from runtime.backends.space_documents import database as database_module
from runtime.backends.space_documents.database import SpaceDatabase
from runtime.backends.space_documents.errors import (
    ServerFailedError,
    error_of,
    of_reply,
)
from runtime.backends.space_documents.health import ServerHealth
from runtime.backends.space_documents.plans import shown_plan
from runtime.documents.errors import (
    DUPLICATE_KEY,
    DatabaseError,
    looked_at_documents,
    may_quote,
    without_quotes,
)
from runtime.documents.hidden import OWNER_FIELD
from runtime.errors import OursError, UnavailableError
from runtime.messages import CommandBounds, DocumentCommand, Verb

NAME = "yunhan_space-mp-1"
BOUNDS = CommandBounds(documents=1, answer_bytes=1000, time_ms=1000)


def replied(code: int, text: str, **more: Any) -> Any:
    return of_reply({"code": code, "errmsg": text, **more}, "op on collection c", NAME)


def test_a_key_that_is_there_already_is_not_repeated() -> None:
    text = (
        f"E11000 duplicate key error collection: {NAME}.c index: a_1_b_1"
        ' dup key: { a: "mine", b: "of somebody else" }'
    )
    error = replied(DUPLICATE_KEY, text)
    assert isinstance(error, DatabaseError)
    assert error.reason.endswith("E11000 duplicate key error collection: c index: a_1_b_1")
    failed = [{"index": 2, "code": DUPLICATE_KEY, "errmsg": text}]
    several = error_of(BulkWriteError({"writeErrors": failed, "nInserted": 2}), "op", NAME)
    assert "somebody" not in several.message
    assert several.message.endswith(
        "a_1_b_1; the 2 before it were written, those after it were not"
    )


@pytest.mark.parametrize("text", [f"ns {NAME}.c is missing", f"no database {NAME}"])
def test_our_name_of_the_database_is_not_told(text: str) -> None:
    assert NAME not in replied(26, text).message


@pytest.mark.parametrize("code", [1, 8])
def test_a_server_that_failed_at_a_command(code: int) -> None:
    error = replied(code, "internal server error")
    assert isinstance(error, ServerFailedError)
    assert "internal server error" in error.message
    assert error.as_callers().number == 2
    assert "internal" not in error.as_callers().message
    assert "op on collection c" in error.as_callers().message
    failure = OperationFailure("assertion src/x.cpp", code, {"code": code, "errmsg": "assertion"})
    assert isinstance(error_of(failure, "op", NAME), ServerFailedError)


@pytest.mark.parametrize(
    "error",
    [
        OperationFailure("x", 1, {"errorLabels": ["RetryableWriteError"]}),
        WriteConcernError("x", 8, {}),
        AutoReconnect("x"),
        OperationFailure("x", 14031, {}),
        OperationFailure("x"),
    ],
    ids=repr,
)
def test_other_errors_stay_ours(error: Exception) -> None:
    made = error_of(error, "op", NAME)
    assert isinstance(made, OursError)
    assert not isinstance(made, ServerFailedError)


@pytest.mark.parametrize(
    ("code", "text", "begun"),
    [
        (2, "Unknown type name alias: foo", False),
        (9, "Failed to parse: $x", False),
        (14, "Cannot increment with non-numeric argument", False),
        (14, "Plan executor error during update :: caused by :: Cannot apply $inc", True),
        (2, "PlanExecutor error during update :: caused by :: must be an array", True),
        (11000, "E11000 duplicate key error", True),
        (50, "operation exceeded time limit", True),
        (None, "", True),
    ],
)
def test_whether_documents_may_have_been_changed(code: Any, text: str, begun: bool) -> None:
    assert looked_at_documents(code, text) is begun


@pytest.mark.parametrize(
    ("number", "text", "quotes"),
    [
        (
            28,
            'Plan executor error :: caused by :: Cannot create field in element {k: "kept"}',
            True,
        ),
        (241, "Failed to parse number 'kept' in $convert", True),
        (2, "Executor error during find command :: caused by :: kept", True),
        (16020, "aggregate on collection c: Invalid $project :: caused by :: two arguments", False),
        (2, "unknown operator: $x", False),
        (11000, "E11000 duplicate key error collection: c index: a_1", False),
        (50, "operation exceeded time limit", False),
    ],
)
def test_whether_a_text_may_quote_documents(number: int, text: str, quotes: bool) -> None:
    error = DatabaseError(number, text)
    assert may_quote(error) is quotes
    told = without_quotes(error, "find on collection c")
    assert told.number == number
    assert "kept" not in told.message
    assert "find on collection c" in told.message


def test_a_plan_shows_neither_the_database_nor_owners_nor_the_server() -> None:
    plan = {
        "queryPlanner": {"namespace": f"{NAME}.c", "parsedQuery": {OWNER_FIELD: {"$eq": "me"}}},
        "stages": [
            {"$cursor": {"queryPlanner": {"namespace": f"{NAME}.c"}}},
            {"$unset": OWNER_FIELD},
            {"$project": {OWNER_FIELD: False, "_id": True}},
            {"$unset": "other"},
        ],
        "command": {"aggregate": "c", "$db": NAME},
        "serverInfo": {"host": "h", "port": 1},
        "ok": 1.0,
    }
    assert shown_plan(plan, NAME) == {
        "queryPlanner": {"namespace": "c", "parsedQuery": {}},
        "stages": [
            {"$cursor": {"queryPlanner": {"namespace": "c"}}},
            {"$project": {"_id": True}},
            {"$unset": "other"},
        ],
    }


class Admin:
    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.asked: list[str] = []

    async def command(self, name: str) -> Mapping[str, Any]:
        self.asked.append(name)
        if self.error is not None:
            raise self.error
        return {"ok": 1}


class Client:
    """As much of the driver's client and database as a command that fails needs."""

    def __init__(self, error: Exception | None = None) -> None:
        self.admin = Admin(error)
        self.client = self

    def get_database(self, name: str, **_: Any) -> Client:
        return self

    def __getitem__(self, name: str) -> None:
        return None


COMMAND = DocumentCommand(
    verb=Verb.UPDATE_ONE, collection="c", arguments={"update": [{"$x": "secret"}]}
)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(call: Any) -> None:
        raise OperationFailure("internal server error", 1, {"errmsg": "internal server error"})

    monkeypatch.setattr(database_module, "carry_out", fail)


@pytest.mark.parametrize(
    "error",
    [NetworkTimeout("timed out"), ServerSelectionTimeoutError("none"), TimeoutError()],
    ids=repr,
)
@pytest.mark.parametrize("well", [True, False])
async def test_what_takes_too_long_is_the_callers_while_the_server_is_well(
    monkeypatch: pytest.MonkeyPatch, error: Exception, *, well: bool
) -> None:
    async def fail(call: Any) -> None:
        raise error

    monkeypatch.setattr(database_module, "carry_out", fail)
    client: Any = Client(None if well else AutoReconnect("gone"))
    with pytest.raises(DatabaseError if well else UnavailableError) as told:
        await SpaceDatabase(client, NAME, ServerHealth(client)).run(COMMAND, BOUNDS)
    if isinstance(told.value, DatabaseError):
        assert told.value.number == 50
        assert "1000 ms" in told.value.message
        assert "is not known" in told.value.message
        read = DocumentCommand(verb=Verb.COUNT, collection="c", arguments={"query": {}})
        with pytest.raises(DatabaseError) as of_read:
            await SpaceDatabase(client, NAME, ServerHealth(client)).run(read, BOUNDS)
        assert "is not known" not in of_read.value.message


async def test_a_well_server_makes_it_the_callers(failing: None) -> None:
    client: Any = Client()
    with structlog.testing.capture_logs() as logs, pytest.raises(DatabaseError) as caught:
        await SpaceDatabase(client, NAME, ServerHealth(client)).run(COMMAND, BOUNDS)
    assert caught.value.number == 2
    assert "replaceOne on collection c" in caught.value.message
    assert client.admin.asked == ["ping"]
    (line,) = logs
    assert line["log_level"] == "warning"
    assert line["command"] == "replaceOne"
    assert "secret" not in str(line)


@pytest.mark.parametrize("error", [AutoReconnect("gone"), TimeoutError()], ids=repr)
async def test_with_a_sick_one_it_stays_ours(failing: None, error: Exception) -> None:
    client: Any = Client(error)
    with pytest.raises(ServerFailedError) as caught:
        await SpaceDatabase(client, NAME, ServerHealth(client)).run(COMMAND, BOUNDS)
    assert not isinstance(caught.value, UnavailableError)


async def test_many_that_ask_at_once_are_one_question() -> None:
    """Of a server that has much to do already."""
    client: Any = Client()
    health = ServerHealth(client)
    assert await asyncio.gather(*(health.is_well() for _ in range(20))) == [True] * 20
    assert client.admin.asked == ["ping"]
    await health.is_well()
    assert client.admin.asked == ["ping", "ping"]


async def test_who_stops_asking_takes_the_answer_from_nobody() -> None:
    client: Any = Client()
    health = ServerHealth(client)
    one, two = (asyncio.create_task(health.is_well()) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    assert await two
    assert one.cancelled()
