"""One case: documents, a command, and what MongoDB answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from runtime.messages import DocumentCommand, Verb

COLLECTION: Final = "things"
OTHERS: Final = "others"
"""A second collection, for joins."""

ANY: Final[Any] = object()
"""Nothing is expected."""

ID: Final = "5f00000000000000000000a1"
ID_2: Final = "5f00000000000000000000a2"
DAY: Final = "2020-01-01T00:00:00.000Z"
DAY_2: Final = "2020-06-15T12:30:00.250Z"

Doc = Mapping[str, Any]
Docs = Sequence[Doc]

KINDS: Final[Docs] = [
    {"_id": 1, "v": 1},
    {"_id": 2, "v": 2.5},
    {"_id": 3, "v": "5"},
    {"_id": 4, "v": True},
    {"_id": 5, "v": None},
    {"_id": 6},
    {"_id": 7, "v": [1, 7]},
    {"_id": 8, "v": {"a": 1}},
    {"_id": 9, "v": DAY},
    {"_id": 10, "v": []},
]
"""A value of each type in `v`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`ANY` is what nothing is expected of."""

    name: str
    documents: Docs
    verb: Verb
    arguments: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    others: Docs = ()
    result: Any = ANY
    affected: int = ANY
    after: Docs = ANY
    """Of the collection, in the order of ids."""
    error: int | None = None
    """Number of the error; 0 is any."""

    @property
    def command(self) -> DocumentCommand:
        return DocumentCommand(
            verb=self.verb,
            collection=COLLECTION,
            arguments=self.arguments,
            options=self.options,
        )


def finds(name: str, documents: Docs, query: Doc, ids: Sequence[Any], **options: Any) -> Case:
    """A filter: which documents it finds."""
    return Case(
        name=name,
        documents=documents,
        verb=Verb.FIND,
        arguments={"query": query},
        options={"sort": {"_id": 1}, "projection": {"_id": 1}, **options},
        result=[{"_id": each} for each in ids],
        affected=len(ids),
    )


def reads(
    name: str,
    verb: Verb,
    documents: Docs,
    arguments: Mapping[str, Any],
    result: Any = ANY,
    *,
    error: int | None = None,
    **options: Any,
) -> Case:
    """A command that changes nothing."""
    return Case(
        name=name,
        documents=documents,
        verb=verb,
        arguments=arguments,
        options=options,
        result=result,
        error=error,
    )


def changes(
    name: str,
    before: Docs,
    filter_: Doc,
    update: Any,
    after: Docs = ANY,
    *,
    verb: Verb = Verb.UPDATE_ONE,
    affected: int = ANY,
    error: int | None = None,
    result: Any = ANY,
    **options: Any,
) -> Case:
    """An update by operators or by a pipeline. After one that is refused the documents are as before."""
    return Case(
        name=name,
        documents=before,
        verb=verb,
        arguments={"filter": filter_, "update": update},
        options=options,
        after=before if error is not None and after is ANY else after,
        affected=affected if affected is not ANY or error is not None else 1,
        error=error,
        result=result,
    )


def aggregates(
    name: str,
    documents: Docs,
    pipeline: Docs,
    result: Any = ANY,
    *,
    others: Docs = (),
    error: int | None = None,
    **options: Any,
) -> Case:
    """A pipeline; `others` is the collection that it may join."""
    return Case(
        name=name,
        documents=documents,
        others=others,
        verb=Verb.AGGREGATE,
        arguments={"pipeline": list(pipeline)},
        options=options,
        result=result,
        error=error,
    )
