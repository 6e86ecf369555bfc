"""Whether the service and the model of a collection say the same."""

from __future__ import annotations

from typing import Any

from tests.harness.document_model import Answer, Entry, ModelError
from tests.harness.document_model_stage import Told
from tests.harness.document_model_values import identical, is_like


def agree(told: Told, expected: list[Answer | ModelError]) -> None:
    """With one of them: there are several where MongoDB does not say which error comes first."""
    assert any(_agrees(told, each) for each in expected), f"{told}, but the model says {expected}"


def _agrees(told: Told, expected: Answer | ModelError) -> bool:
    if isinstance(expected, ModelError) or told.data is None:
        return isinstance(expected, ModelError) and told.code == expected.code
    data = dict(told.data)
    affected, result = data.pop("affectedDocs"), data.pop("result")
    alike = is_like if expected.ordered else is_bag_like
    return (
        type(affected) is int
        and affected == expected.affected
        and alike(result, expected.result)
        and data == expected.extra
    )


def is_bag_like(values: list[Any], expected: list[Any]) -> bool:
    """The same in any order."""
    left = list(expected)
    for value in values:
        at = next((number for number, each in enumerate(left) if is_like(value, each)), None)
        if at is None:
            return False
        del left[at]
    return not left


def agree_on_contents(found: list[Entry], expected: list[Entry]) -> None:
    """To the bit, and in the same order."""
    assert len(found) == len(expected), f"{found}, but the model has {expected}"
    for one, other in zip(found, expected, strict=True):
        assert one.owner == other.owner
        assert identical(one.document, other.document), f"{one}, but the model has {other}"
