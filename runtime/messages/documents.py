"""Commands to a space's database and their answers (spec: database commands)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

DOCUMENT_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of the server: no setting can allow more."""


class Verb(StrEnum):
    """What a command does. The SDKs' names, then those of functions and the management side."""

    AGGREGATE = "aggregate"
    COUNT = "count"
    DISTINCT = "distinct"
    FIND = "find"
    FIND_ONE = "findOne"
    INSERT_ONE = "insertOne"
    INSERT_MANY = "insertMany"
    UPDATE_ONE = "updateOne"
    UPDATE_MANY = "updateMany"
    REPLACE_ONE = "replaceOne"
    FIND_ONE_AND_UPDATE = "findOneAndUpdate"
    FIND_ONE_AND_REPLACE = "findOneAndReplace"
    FIND_ONE_AND_DELETE = "findOneAndDelete"
    DELETE_ONE = "deleteOne"
    DELETE_MANY = "deleteMany"
    START_TRANSACTION = "startTransaction"
    COMMIT_TRANSACTION = "commitTransaction"
    ABORT_TRANSACTION = "abortTransaction"
    COLLECTIONS = "collections"
    CREATE_COLLECTION = "createCollection"
    DROP_COLLECTION = "drop"
    RENAME_COLLECTION = "rename"
    LIST_INDEXES = "listIndexes"
    CREATE_INDEX = "createIndex"
    DROP_INDEX = "dropIndex"


READS = frozenset({Verb.AGGREGATE, Verb.COUNT, Verb.DISTINCT, Verb.FIND, Verb.FIND_ONE})
"""Need `.read`; everything else of the SDKs needs `.write` (spec §7)."""

ADMINISTRATION = frozenset(
    {
        Verb.COLLECTIONS,
        Verb.CREATE_COLLECTION,
        Verb.DROP_COLLECTION,
        Verb.RENAME_COLLECTION,
        Verb.LIST_INDEXES,
        Verb.CREATE_INDEX,
        Verb.DROP_INDEX,
    }
)
"""For functions, the server SDK and the management side; never for clients."""

IN_TRANSACTION = frozenset(
    {
        Verb.FIND_ONE,
        Verb.INSERT_ONE,
        Verb.UPDATE_ONE,
        Verb.REPLACE_ONE,
        Verb.FIND_ONE_AND_UPDATE,
        Verb.FIND_ONE_AND_REPLACE,
        Verb.FIND_ONE_AND_DELETE,
        Verb.DELETE_ONE,
    }
)
"""Allowed inside a transaction (spec §6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentCommand:
    """One command whose arguments and options have the types of the spec (`runtime.documents.parse`).

    Values are JSON as received: dates and ids are still texts. `arguments` has the keys of the spec's tables,
    absent ones are absent; `options` has known ones only.
    """

    verb: Verb
    collection: str = ""
    transaction_id: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandBounds:
    """What one command may use at most."""

    documents: int
    """Of an answer with documents or values; `find` without a limit gets as many."""
    answer_bytes: int
    """Of the documents of an answer as the server sends them."""
    time_ms: int
    document_bytes: int = DOCUMENT_BYTES_MAX
    """Of each document that a command inserts or puts in the place of another, and of an update."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentAnswer:
    """`data` of an answer: values are JSON again. `extra` stands beside `result` (spec §5, §6)."""

    affected: int
    result: Any = None
    extra: Mapping[str, Any] = field(default_factory=dict)
