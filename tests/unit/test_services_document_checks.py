"""In which order a command is checked, where, and against whose bounds."""

from __future__ import annotations

import threading
from typing import Any, NoReturn

import orjson
import pytest
from pydantic import ValidationError

from runtime.documents.errors import BAD_VALUE, DatabaseError
from runtime.documents.operators import OperatorLimits, check_command
from runtime.documents.owner import OWNER_FIELD, PermissionDeniedError
from runtime.documents.rules import Rules, policy_of
from runtime.messages import PolicyName, Verb
from runtime.services.document_checks import CommandChecks
from runtime.settings import Settings
from runtime.wiring.limits import document_limits

PRIVATE = Rules.of({"notes": policy_of(PolicyName.PRIVATE)})


class Unread(list[Any]):
    """A part of a command whose looking at costs something."""

    def _looked_at(self) -> NoReturn:
        raise AssertionError("looked at")

    def __iter__(self) -> NoReturn:
        self._looked_at()

    def __len__(self) -> int:
        raise AssertionError("looked at")

    def __getitem__(self, _: object) -> NoReturn:
        self._looked_at()


@pytest.fixture
def checks() -> CommandChecks:
    return CommandChecks(OperatorLimits(values=4_000), client_values=2_000)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of those in which commands were checked."""
    seen: list[str] = []

    def noted(*arguments: Any) -> frozenset[str]:
        seen.append(threading.current_thread().name)
        return check_command(*arguments)

    monkeypatch.setattr("runtime.services.document_checks.check_command", noted)
    return seen


def insert(fields: int) -> dict[str, Any]:
    doc = {f"field{each}": each for each in range(fields)}
    return {"command": "insertOne", "collection": "notes", "doc": doc, "options": {}}


@pytest.mark.parametrize(
    ("user_id", "params"),
    [
        (None, {"command": "aggregate", "collection": "notes", "pipeline": Unread()}),
        (None, {"command": "insertMany", "collection": "notes", "docs": Unread()}),
        ("tom", {"command": "aggregate", "collection": "others", "pipeline": Unread()}),
        ("tom", {"command": "insertMany", "collection": "others", "docs": Unread()}),
        ("tom", {"command": "find", "collection": "others", "query": {}, "options": Unread()}),
        ("tom", {"command": "createIndex", "collection": "notes", "field": Unread()}),
    ],
)
async def test_a_client_that_may_not_is_refused_before_its_command_is_looked_at(
    checks: CommandChecks, user_id: str | None, params: dict[str, Any]
) -> None:
    with pytest.raises(PermissionDeniedError):
        await checks.of_client(params, PRIVATE, user_id)


async def test_a_client_that_may_is_told_what_is_wrong(checks: CommandChecks) -> None:
    query = {"command": "find", "collection": "notes", "query": {"$where": "1"}, "options": {}}
    with pytest.raises(DatabaseError, match="not allowed"):
        await checks.of_client(query, PRIVATE, "tom")


async def test_what_was_asked_and_what_it_becomes(checks: CommandChecks) -> None:
    asked, command = await checks.of_client(insert(1), PRIVATE, "tom")
    assert OWNER_FIELD not in asked.arguments["doc"]
    assert command.arguments["doc"] == {"field0": 0, OWNER_FIELD: "tom"}


async def test_the_bounds_of_clients_are_their_own(checks: CommandChecks) -> None:
    await checks.of_client(insert(2_000), PRIVATE, "tom")
    await checks.of_trusted(insert(4_000), None)
    await checks.of_management(orjson.dumps(insert(4_000)).decode())
    for refused in (
        checks.of_client(insert(2_001), PRIVATE, "tom"),
        checks.of_trusted(insert(4_001), None),
        checks.of_management(orjson.dumps(insert(4_001)).decode()),
    ):
        with pytest.raises(DatabaseError, match=r"more than [24]000 values") as refusal:
            await refused
        assert refusal.value.number == BAD_VALUE


async def test_small_commands_are_checked_at_once(
    checks: CommandChecks, threads: list[str]
) -> None:
    await checks.of_client(insert(100), PRIVATE, "tom")
    await checks.of_trusted(insert(100), None)
    await checks.of_management(orjson.dumps(insert(100)).decode())
    assert threads == [threading.current_thread().name] * 3


async def test_large_commands_are_checked_in_threads_those_of_clients_in_another(
    checks: CommandChecks, threads: list[str]
) -> None:
    await checks.of_client(insert(1_900), PRIVATE, "tom")
    await checks.of_trusted(insert(1_900), None)
    await checks.of_management(orjson.dumps(insert(1_900)).decode())
    clients, trusted, management = (name.rpartition("_")[0] for name in threads)
    assert clients == "database-checks-clients"
    assert trusted == management == "database-checks"


async def test_a_thousand_documents_of_fifty_fields_pass_for_trusted_callers() -> None:
    checks = CommandChecks(OperatorLimits(), client_values=20_000)
    docs = [{f"field{each}": each for each in range(50)} for _ in range(1_000)]
    params = {"command": "insertMany", "collection": "notes", "docs": docs, "options": {}}
    command = await checks.of_trusted(params, None)
    assert command.verb is Verb.INSERT_MANY
    with pytest.raises(DatabaseError, match="20000 values"):
        await checks.of_client(params, PRIVATE, "tom")


def test_the_bounds_are_settings() -> None:
    settings = Settings(
        database_values_max=900, database_values_client_max=800, database_regexes_max=7
    )
    limits = document_limits(settings)
    assert (limits.operators.values, limits.client_values, limits.operators.regexes) == (
        900,
        800,
        7,
    )
    with pytest.raises(ValidationError, match="DATABASE_VALUES_CLIENT_MAX=901"):
        Settings(database_values_max=900, database_values_client_max=901)
