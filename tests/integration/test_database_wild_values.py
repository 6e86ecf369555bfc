"""Wild values in every operator, option and stage: each is answered or refused as the caller's, in bounded
time. Our errors, "internal" or "unavailable", are for what a caller cannot bring about.

Every command is one that works (`database_wild_seeds`) with some values or names replaced."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.documents.owner import OWNER_FIELD
from runtime.documents.rules import Rules, policy_of
from runtime.errors import CallerError
from runtime.messages import PolicyName
from runtime.services.documents import DocumentService
from tests.harness.database_service import opened_service
from tests.harness.documents import Documents
from tests.integration.database_wild_seeds import (
    DOCUMENTS,
    EXPRESSIONS,
    FILTERS,
    OPERATORS,
    OPTIONS,
    STAGES,
    UPDATES,
)
from tests.integration.database_wild_values import NAMES, NUMBERS, TEXTS

pytestmark = pytest.mark.integration

SPACE, PREFIX = "wild", "tprefix_"
RULES = Rules.of({"open": policy_of(PolicyName.EXTENDED, '{"*": true}')})
TIME_S = 20.0
"""Nothing may hang. A command has 0.5 s; the adapter gives up some seconds later, and that is our error."""

leaves = st.sampled_from([None, True, False, [], {}, *NUMBERS, *TEXTS])
wild = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=2)
    ),
    max_leaves=4,
)

computed = st.recursive(
    leaves,
    lambda inner: st.builds(
        lambda name, operands: {name: operands},
        st.sampled_from(OPERATORS),
        inner | st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=4,
)
"""Expressions of operators that take values."""


@st.composite
def spoilt(draw: st.DrawFn, seeds: list[Any], most: int = 2) -> Any:
    """One of the seeds with 1 to `most` of its values or names replaced."""
    value = {"": copy.deepcopy(draw(st.sampled_from(seeds)))}
    for _ in range(draw(st.integers(1, most))):
        places = list(_places(value))[1:] or [(value, "")]
        holder, key = draw(st.sampled_from(places))
        if isinstance(holder, dict) and holder is not value and draw(st.integers(0, 3)) == 0:
            holder[draw(st.sampled_from(NAMES))] = holder.pop(key)
        else:
            holder[key] = draw(wild)
    return value[""]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Holder and key of everything in a value."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


class Wild:
    """The service, driven from a plain function."""

    def __init__(self, runner: asyncio.Runner, service: DocumentService) -> None:
        self._runner = runner
        self._service = service

    def reset(self) -> None:
        """The documents as they were."""
        self._runner.run(self._reset())

    async def _reset(self) -> None:
        about = {"collection": "open"}
        await self._service.trusted(SPACE, {"command": "deleteMany", "filter": {}, **about})
        await self._service.trusted(SPACE, {"command": "insertMany", "docs": DOCUMENTS, **about})

    def ask(self, command: str, **params: Any) -> str:
        """The code of the caller's error, or nothing for an answer; anything else fails the test."""
        return self._runner.run(self._ask({"command": command, "collection": "open", **params}))

    async def _ask(self, params: dict[str, Any]) -> str:
        code = ""
        try:
            async with asyncio.timeout(TIME_S):
                answer = await self._service.for_client(SPACE, RULES, "mallory", params)
        except CallerError as error:
            code = error.code
            message = error.message.encode()  # can be sent
            assert b"Traceback" not in message
            assert PREFIX.encode() not in message
        else:
            assert OWNER_FIELD.encode() not in answer
            assert PREFIX.encode() not in answer
        return code


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wild]:
    documents = Documents(tmp_path_factory.mktemp("documents")).start()
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            opened = opened_service(documents.url, prefix=PREFIX, client_time_ms=500)
            yield Wild(runner, runner.run(stack.enter_async_context(opened)))
        finally:
            runner.run(stack.aclose())
            documents.stop()


@pytest.fixture
def server(service: Wild) -> Wild:
    service.reset()
    return service


def many(examples: int) -> settings:
    """The documents are not put back between examples: any of them may be there."""
    return settings(
        max_examples=examples,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@many(250)
@given(spoilt(FILTERS), st.sampled_from(["find", "findOne", "count", "distinct"]))
def test_filters(server: Wild, condition: Any, command: str) -> None:
    server.ask(command, query=condition, **({"key": "arr"} if command == "distinct" else {}))


@many(250)
@given(
    spoilt(UPDATES),
    st.sampled_from(["updateOne", "updateMany", "findOneAndUpdate"]),
    st.booleans(),
    st.sampled_from([[], [{"x": 1}]]),
)
def test_updates(
    server: Wild, change: Any, command: str, upsert: bool, array_filters: list[Any]
) -> None:
    options = {"upsert": upsert, **({"arrayFilters": array_filters} if array_filters else {})}
    server.ask(command, filter={"arr": 1}, update=change, options=options)


@many(100)
@given(
    spoilt(FILTERS),
    st.sampled_from(["updateOne", "updateMany", "replaceOne", "deleteOne", "findOneAndDelete"]),
    st.booleans(),
)
def test_filters_of_writes(server: Wild, condition: Any, command: str, upsert: bool) -> None:
    given = {"doc": {"n": 1}} if command == "replaceOne" else {"update": {"$set": {"arr.$": 1}}}
    server.ask(command, filter=condition, options={"upsert": upsert}, **given)


@many(100)
@given(spoilt(DOCUMENTS, most=3), st.sampled_from(["insertOne", "insertMany", "replaceOne"]))
def test_documents(server: Wild, document: Any, command: str) -> None:
    given = {"docs": [document, {}]} if command == "insertMany" else {"doc": document}
    server.ask(command, filter={"_id": "a"}, options={"upsert": True}, **given)


@many(400)
@given(spoilt(EXPRESSIONS) | computed, st.booleans())
def test_expressions(server: Wild, expression: Any, in_filter: bool) -> None:
    if in_filter:
        server.ask("find", query={"$expr": expression})
    else:
        server.ask("aggregate", pipeline=[{"$project": {"x": expression}}])


@many(300)
@given(st.lists(spoilt(STAGES), min_size=1, max_size=2))
def test_stages(server: Wild, stages: list[Any]) -> None:
    server.ask("aggregate", pipeline=stages)


@many(150)
@given(st.sampled_from(sorted(OPTIONS)), st.data())
def test_options(server: Wild, command: str, data: st.DataObject) -> None:
    options = data.draw(spoilt([OPTIONS[command]]))
    update: Any = {"update": {"$set": {"arr.$[x]": 1}}} if "pdate" in command else {}
    server.ask(
        command,
        **({"pipeline": [{"$sort": {"t": 1}}]} if command == "aggregate" else {}),
        **({"doc": {}, "replacement": {}} if "eplace" in command else update),
        options=options,
    )


FAILED_AT: list[dict[str, Any]] = [
    {"command": "updateOne", "update": {"$set": {"arr.3000000": 1}}},
    {"command": "updateOne", "update": {"$set": {"arr.999999999": 1}}},
    *(
        {"command": "aggregate", "pipeline": [{"$project": {"x": expression}}]}
        for expression in (
            {"$dateAdd": {"startDate": "$$NOW", "unit": "year", "amount": 10**9}},
            {"$sortArray": {"input": [1, "a", {}], "sortBy": 1}},
        )
    ),
    {"command": "aggregate", "pipeline": [{"$sort": {"n": {"$meta": "textScore"}}}]},
]


@pytest.mark.parametrize("params", FAILED_AT, ids=str)
def test_what_the_server_fails_at_is_the_callers(server: Wild, params: dict[str, Any]) -> None:
    """A server of MongoDB's answers some of these, or has codes of its own for them."""
    assert server.ask(**params, filter={"_id": "a"}) == "2"
    assert not server.ask("find", query={"_id": "a"})
