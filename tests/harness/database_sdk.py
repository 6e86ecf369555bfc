"""Steps that SDKs carry out on the database of a space (tests/e2e/sdk/database.cjs), and their results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.harness.management import Management

SDK = Path(__file__).parent.parent / "e2e" / "sdk"
INDEX = """
const { carryOut } = require('./database.cjs');
module.exports = (ctx) => carryOut(() => ctx.mpserverless, ctx.args.steps);
"""
HEX = "5f00000000000000000000a1"
BORN = {"$date": "2020-02-29T12:34:56.789Z"}
LATER = {"$date": "2021-01-01T00:00:00.000Z"}
PEOPLE = [
    {"_id": "tom", "name": "tom", "age": 20, "city": "杭州"},
    {"_id": "jerry", "name": "jerry", "age": 10, "city": "杭州"},
    {"_id": "spike", "name": "spike", "age": 30, "city": "上海"},
]
TOM, JERRY, SPIKE = PEOPLE

Steps = Callable[..., list[dict[str, Any]]]


def deploy(management: Management, space_id: str) -> None:
    """The function `database`, which carries out steps."""
    files: dict[str, str | bytes] = {
        "index.js": INDEX,
        "database.cjs": (SDK / "database.cjs").read_bytes(),
    }
    management.deploy(space_id, "database", files)


def set_rule(
    management: Management, space_id: str, collection: str, name: str, text: object = None
) -> None:
    management.call(
        "UpdateServicePolicy",
        SpaceId=space_id,
        ServiceName="db",
        CollectionName=collection,
        PolicyName=name,
        **({} if text is None else {"Policy": json.dumps(text)}),
    )


def values(results: list[dict[str, Any]]) -> list[Any]:
    """`result` of each, all of which went well."""
    for each in results:
        assert "error" not in each, each
        assert each["value"]["success"] is True
        assert isinstance(each["value"]["affectedDocs"], int)
    return [each["value"]["result"] for each in results]


def counts(results: list[dict[str, Any]]) -> list[Any]:
    values(results)
    return [each["value"]["affectedDocs"] for each in results]


def codes(results: list[dict[str, Any]]) -> list[Any]:
    return [each["error"]["code"] if "error" in each else each for each in results]
