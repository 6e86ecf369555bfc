"""Collections and indexes: methods of ours in functions, commands as such from backends, nothing for apps."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.database_sdk import Steps, codes, counts, values

pytestmark = pytest.mark.e2e

ByCommand = Callable[..., list[Any]]
"""The step of one command: in a function the method, else the command as it goes over the wire."""


@pytest.fixture
def by_command(sdk: str) -> ByCommand:
    def method(command: str, collection: str = "", **arguments: Any) -> list[Any]:
        name = "listCollections" if command == "collections" else command
        return [*(["on", collection] if collection else ["db"]), name, *arguments.values()]

    def wire(command: str, **given: Any) -> list[Any]:
        return ["command", {"command": command, **given}]

    return method if sdk == "function" else wire


@pytest.mark.parametrize("sdk", ["server", "function"], indirect=True)
def test_indexes(run: Steps, by_command: ByCommand, things: str) -> None:
    one = {"collection": things}
    unique = {"unique": True, "name": "mine"}
    results = run(
        by_command("createIndex", **one, field="a.b"),
        by_command("createIndex", **one, field={"order": 1}, options=unique),
        by_command("createIndex", **one, field={"a": 1, "b": -1}),
        by_command("createIndex", **one, field={"a": 1, "b": -1}),
        by_command("listIndexes", **one),
        by_command("dropIndex", **one, dropIndex="a.b_1"),
        by_command("dropIndex", **one, dropIndex="a_1_b_-1"),
        ["on", things, "insertOne", {"order": 7}],
        by_command("listIndexes", **one),
    )
    made = values(results)
    assert made[:3] == [{"name": "a.b_1"}, {"name": "mine"}, {"name": "a_1_b_-1"}]
    assert made[3] == made[2]
    assert {each["name"]: each["key"] for each in made[4]} == {
        "_id_": {"_id": 1},
        "a.b_1": {"a.b": 1},
        "mine": {"order": 1},
        "a_1_b_-1": {"a": 1, "b": -1},
    }
    assert sorted(each["name"] for each in made[8]) == ["_id_", "mine"]
    assert (counts(results)[4], counts(results)[8]) == (4, 2)
    refused = run(
        ["on", things, "insertOne", {"order": 7}],
        by_command("dropIndex", **one, dropIndex="nothing"),
    )
    assert codes(refused) == ["11000", "27"]


@pytest.mark.parametrize("sdk", ["server", "function"], indirect=True)
def test_collections(run: Steps, by_command: ByCommand, things: str) -> None:
    renamed = f"{things}-renamed"
    results = run(
        by_command("createCollection", name=things),
        by_command("collections"),
        ["on", things, "insertOne", {"_id": 1}],
        by_command("rename", collection=things, newName=renamed),
        ["on", renamed, "find", {}],
        by_command("drop", collection=renamed),
        by_command("drop", collection=renamed),
        by_command("collections"),
    )
    _, before, _, _, found, _, _, after = values(results)
    assert things in before
    assert renamed not in before
    assert found == [{"_id": 1}]
    assert not {things, renamed} & set(after)
    assert [counts(results)[step] for step in (3, 5, 6)] == [1, 1, 0]
    refused = run(
        by_command("createCollection", name="system.users"),
        by_command("rename", collection=things, newName="other"),
    )
    assert codes(refused) == ["73", "26"]


@pytest.mark.parametrize("sdk", ["client"], indirect=True)
def test_apps_may_do_none_of_it(run: Steps, by_command: ByCommand, things: str) -> None:
    """Where a rule lets everybody read and write everything."""
    one = {"collection": things}
    [_, *refused] = run(
        ["on", things, "insertOne", {"_id": 1}],
        by_command("createIndex", **one, field="a"),
        by_command("dropIndex", **one, dropIndex="*"),
        by_command("listIndexes", **one),
        by_command("drop", **one),
        by_command("rename", **one, newName="other"),
        by_command("createCollection", name=f"{things}-new"),
        by_command("collections"),
    )
    assert codes(refused) == ["PermissionDenied"] * 7
    assert values(run(["on", things, "find", {}])) == [[{"_id": 1}]]


@pytest.mark.parametrize("sdk", ["function"], indirect=True)
@pytest.mark.parametrize(
    "step",
    [
        ["createIndex"],
        ["createIndex", {"a": "text"}],
        ["createIndex", ["a"]],
        ["createIndex", "a", {"unique": 1}],
        ["dropIndex", {"a": 1}],
        ["rename", 5],
    ],
    ids=json.dumps,
)
def test_wrong_arguments_in_a_function(run: Steps, things: str, step: list[Any]) -> None:
    [refused, listed] = run(["on", things, *step], ["on", things, "listIndexes"])
    assert refused["error"]["code"] == "ValidationFailed"
    assert values([listed]) == [[]]


@pytest.mark.parametrize("sdk", ["server"], indirect=True)
def test_wrong_arguments_of_a_command(run: Steps, things: str) -> None:
    refused = run(
        ["command", {"command": "createIndex", "collection": things}],
        ["command", {"command": "createIndex", "collection": things, "field": {"a": "text"}}],
        ["command", {"command": "createIndex", "collection": things, "field": {}}],
        ["command", {"command": "dropIndex", "collection": things, "dropIndex": 5}],
        ["command", {"command": "rename", "collection": things, "newName": "a$b"}],
        ["command", {"command": "createCollection", "collection": things}],
    )
    assert codes(refused) == ["14", "14", "2", "14", "73", "73"]
