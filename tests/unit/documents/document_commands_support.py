"""Commands as `parse` makes them, in few words."""

from __future__ import annotations

from typing import Any

from runtime.messages.documents import DocumentCommand, Verb


def find(query: Any) -> DocumentCommand:
    return DocumentCommand(verb=Verb.FIND, collection="users", arguments={"query": query})


def update(change: Any, **options: Any) -> DocumentCommand:
    return DocumentCommand(
        verb=Verb.UPDATE_ONE,
        collection="users",
        arguments={"filter": {}, "update": change},
        options=options,
    )


def insert(document: Any) -> DocumentCommand:
    return DocumentCommand(verb=Verb.INSERT_ONE, collection="users", arguments={"doc": document})


def replace(document: Any) -> DocumentCommand:
    return DocumentCommand(
        verb=Verb.REPLACE_ONE, collection="users", arguments={"filter": {}, "doc": document}
    )


def aggregate(*stages: Any) -> DocumentCommand:
    return DocumentCommand(
        verb=Verb.AGGREGATE, collection="users", arguments={"pipeline": list(stages)}
    )
