"""Bodies that differ from a signed one in the least."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Body = dict[str, Any]


def changed_by_a_character(body: Mapping[str, Any]) -> Iterator[Body]:
    """Each character of each field, one at a time."""
    for name, value in body.items():
        text = str(value)
        for place, character in enumerate(text):
            other = "1" if character != "1" else "2"
            changed = text[:place] + other + text[place + 1 :]
            yield {**body, name: int(changed) if isinstance(value, int) else changed}


def with_other_fields(body: Mapping[str, Any]) -> Iterator[Body]:
    """One fewer, or one more."""
    for name in body:
        yield {key: value for key, value in body.items() if key != name}
    yield {**body, "userId": "someone"}
    yield {**body, "extra": 1}
