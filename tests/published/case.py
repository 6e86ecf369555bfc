"""The tables beside this module, read: see README.md for their form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Doc = Mapping[str, Any]
Docs = Sequence[Doc]

TABLES: Final = Path(__file__).parent / "tables"
TRANSACTIONS: Final = "transactions"
THINGS: Final = "things"
"""The collection that a case is about."""
ANY: Final[Any] = object()
"""Nothing is expected."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Of one step. Without `fails` it succeeds."""

    gives: Any = ANY
    fails: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One operation. `who` has a session of its own; "" is outside of all."""

    who: str
    do: str
    arguments: Mapping[str, Any]
    expected: Expected = Expected()


@dataclass(frozen=True, slots=True)
class Ours:
    """What the product answers instead, on purpose, at step `at`; nothing after it is done."""

    why: str
    at: int
    expected: Expected
    leaves: Mapping[str, Docs] | None


@dataclass(frozen=True, slots=True)
class Case:
    """Documents, operations, and what they answer and leave."""

    table: str
    name: str
    has: Mapping[str, Docs]
    steps: Sequence[Step]
    first: Sequence[Step] = ()
    """Prepares the collections; always by the driver."""
    leaves: Mapping[str, Docs] | None = None
    """In the order of ids; None is not looked at."""
    ours: Ours | None = None

    @property
    def is_transaction(self) -> bool:
        return self.table == TRANSACTIONS


def read_cases() -> list[Case]:
    """All tables. Raises ValueError for a key that no case has."""
    return [case for path in sorted(TABLES.glob("*.jsonl")) for case in _read(path)]


def _read(path: Path) -> Iterator[Case]:
    for line in path.read_text().splitlines():
        yield _case(path.stem, json.loads(line))


def _case(table: str, row: dict[str, Any]) -> Case:
    name = row.pop("case")
    has = {each: _documents(docs) for each, docs in _by_collection(row.pop("has")).items()}
    steps = (
        [_step(*each) for each in row.pop("steps")]
        if table == TRANSACTIONS
        else [Step("", row.pop("do"), row.pop("with", {}), _expected(row))]
    )
    case = Case(
        table=table,
        name=name,
        has=has,
        steps=steps,
        first=[Step("", *each) for each in row.pop("first", ())],
        leaves=_leaves(row.pop("leaves", None), has),
        ours=_ours(row.pop("ours", None), has, len(steps) - 1),
    )
    if row:
        raise ValueError(f"{table}, {name}: unknown {', '.join(row)}")
    return case


def _ours(row: dict[str, Any] | None, has: Mapping[str, Docs], last: int) -> Ours | None:
    if row is None:
        return None
    return Ours(row["why"], row.get("at", last), _expected(row), _leaves(row.get("leaves"), has))


def _step(
    who: str, do: str, arguments: Doc | None = None, expected: dict[str, Any] | None = None
) -> Step:
    return Step("" if who == "-" else who, do, arguments or {}, _expected(dict(expected or {})))


def _expected(row: dict[str, Any]) -> Expected:
    return Expected(row.pop("gives", ANY), row.pop("fails", None))


def _by_collection(given: Any) -> dict[str, Any]:
    return given if isinstance(given, dict) else {THINGS: given}


def _documents(given: int | Docs) -> Docs:
    """A number n: ids 1 to n, `x` is eleven times the id."""
    if isinstance(given, int):
        return [{"_id": each, "x": 11 * each} for each in range(1, given + 1)]
    return given


def _leaves(given: Any, has: Mapping[str, Docs]) -> Mapping[str, Docs] | None:
    if given is None:
        return None
    return {
        name: has[name] if docs == "same" else _left(docs, has.get(name, ()))
        for name, docs in _by_collection(given).items()
    }


def _left(docs: Sequence[int | Doc], before: Docs) -> Docs:
    """A number is the document with this id, as it was before."""
    by_id = {str(each["_id"]): each for each in before}
    return [by_id[str(each)] if isinstance(each, int) else each for each in docs]
