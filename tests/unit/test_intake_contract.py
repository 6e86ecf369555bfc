"""docs/asyncapi.yaml and docs/amqp.md say what the code does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from runtime.backends.rabbitmq.intake_topology import ROUTING_KEY, IntakeOptions, IntakeTopology
from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.errors import InvalidParameterError
from runtime.intake.message import NAME_MAX, VERSION, read_call
from runtime.intake.refusals import DETAIL_MAX, IntakeRefusedError, Reason
from runtime.services.async_terms import read_key
from tests.harness.schema import problems

DOCS = Path(__file__).parents[2] / "docs"
CONTRACT: dict[str, Any] = yaml.safe_load((DOCS / "asyncapi.yaml").read_text())
MESSAGES: dict[str, Any] = CONTRACT["components"]["messages"]
SCHEMAS: dict[str, Any] = CONTRACT["components"]["schemas"]


def lookup(reference: str) -> Any:
    node: Any = CONTRACT
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        here = [node["$ref"]] if "$ref" in node else []
        return here + [each for inner in node.values() for each in references(inner)]
    return [each for inner in node for each in references(inner)] if isinstance(node, list) else []


def is_taken(body: Any) -> bool:
    try:
        call = read_call(json.dumps(body).encode(), content_type="application/json")
        read_key(call.idempotency_key)
    except (IntakeRefusedError, InvalidParameterError):
        return False
    return True


def test_every_reference_leads_somewhere() -> None:
    found = references(CONTRACT)
    assert found
    for reference in found:
        assert lookup(reference)


@pytest.mark.parametrize("example", MESSAGES["call"]["examples"], ids=lambda each: each["name"])
def test_examples_are_valid_and_taken(example: dict[str, Any]) -> None:
    assert problems(SCHEMAS["call"], example["payload"]) == []
    assert is_taken(example["payload"])


@pytest.mark.parametrize("example", MESSAGES["refused"]["examples"], ids=lambda each: each["name"])
def test_examples_of_dead_letters_are_valid(example: dict[str, Any]) -> None:
    assert problems(SCHEMAS["refusedHeaders"], example["headers"]) == []


GOOD = {"version": 1, "space": "mp-1", "function": "hello"}


@pytest.mark.parametrize(
    "body",
    [
        GOOD,
        {**GOOD, "args": None},
        {**GOOD, "args": [[1]]},
        {**GOOD, "idempotencyKey": "k" * 200},
        {**GOOD, "idempotencyKey": "k" * 201},
        {**GOOD, "idempotencyKey": "a b"},
        {**GOOD, "idempotencyKey": "ключ"},
        {**GOOD, "idempotencyKey": ""},
        {**GOOD, "idempotencyKey": 1},
        {**GOOD, "version": 2},
        {**GOOD, "version": "1"},
        {**GOOD, "version": True},
        {**GOOD, "space": ""},
        {**GOOD, "space": 1},
        {**GOOD, "function": "f" * NAME_MAX},
        {**GOOD, "function": "f" * (NAME_MAX + 1)},
        {**GOOD, "user": "root"},
        {"space": "mp-1"},
        {"function": "hello"},
        [],
        "text",
        None,
    ],
    ids=lambda body: json.dumps(body)[:60],
)
def test_schema_and_code_agree(body: Any) -> None:
    assert is_taken(body) == (problems(SCHEMAS["call"], body) == [])


def test_names_and_numbers_are_those_of_the_code() -> None:
    topology = IntakeTopology(
        RabbitMqOptions(url="amqp://localhost"), IntakeOptions(message_max_bytes=1)
    )
    channels = CONTRACT["channels"]
    assert channels["intake"]["bindings"]["amqp"]["exchange"]["name"] == topology.exchange
    assert channels["intake"]["address"] == ROUTING_KEY == f"v{VERSION}"
    assert channels["deadLetters"]["bindings"]["amqp"]["queue"]["name"] == topology.dead
    assert CONTRACT["info"]["version"].startswith(f"{VERSION}.")
    headers = SCHEMAS["refusedHeaders"]["properties"]
    assert headers["x-yunhan-reason"]["enum"] == [str(reason) for reason in Reason]
    assert headers["x-yunhan-detail"]["maxLength"] == DETAIL_MAX


def test_the_page_names_every_reason_and_field() -> None:
    page = (DOCS / "amqp.md").read_text()
    for name in (*Reason, *SCHEMAS["call"]["properties"]):
        assert f"`{name}`" in page
