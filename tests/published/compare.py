"""Whether an answer or an error is the expected one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.published.case import ANY, Expected

_KINDS = {"<double>": float, "<object>": dict}
"""Instead of a value: only its type is known."""


@dataclass(eq=False)
class Failure(Exception):  # noqa: N818 - what a case expects, rather than an error of ours
    """An operation that failed, whichever way it went."""

    text: str
    code: int | None = None
    sent: bool = True
    """False: refused before the server was asked."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What only the driver tells: `transient`, `details`, `at`, `done`."""

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


def same(found: Any, expected: Any) -> bool:
    """Equal, and true is not one; a whole double equals an int."""
    if isinstance(expected, str) and expected in _KINDS:
        return isinstance(found, _KINDS[expected])
    if isinstance(expected, Mapping):
        return (
            isinstance(found, Mapping)
            and found.keys() == expected.keys()
            and all(same(found[key], each) for key, each in expected.items())
        )
    if isinstance(expected, Sequence) and not isinstance(expected, str):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(same(one, other) for one, other in zip(found, expected, strict=True))
        )
    return isinstance(found, bool) == isinstance(expected, bool) and bool(found == expected)


def check_answer(found: Any, expected: Expected) -> None:
    """Raises AssertionError."""
    assert expected.fails is None, f"answered {found!r}, should have failed"
    if expected.gives is not ANY:
        assert same(found, expected.gives), f"{found!r} instead of {expected.gives!r}"


def check_failure(failure: Failure, expected: Expected, *, by_driver: bool) -> None:
    """Raises AssertionError. The service tells a code and a text, the driver all of it."""
    wanted = dict(expected.fails) if expected.fails is not None else None
    assert wanted is not None, f"failed with {failure}"
    unsent, code = wanted.pop("unsent", False), wanted.pop("code", None)
    if code is not None:
        assert failure.code == code, f"failed with {failure} instead of {code}"
    if by_driver:
        assert not unsent or not failure.sent, f"was sent, failed with {failure}"
        for key, each in wanted.items():
            found = failure.extra.get(key)
            if key == "details":  # the server may tell more
                found = {name: (found or {}).get(name) for name in each}
                found = {name: _known(found[name], each[name]) for name in each}
            assert same(found, each), f"{key}: {found!r} instead of {each!r}"


def _known(found: Any, expected: Any) -> Any:
    """Only the keys that are expected."""
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        return {key: found[key] for key in expected if key in found}
    return found
