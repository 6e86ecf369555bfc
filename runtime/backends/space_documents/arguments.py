"""A command of JSON values -> the same command of BSON values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from runtime.backends.space_documents.call import operation_of
from runtime.backends.space_documents.conditions import bson_expression, bson_filter, bson_pipeline
from runtime.backends.space_documents.values import bson_document, bson_id, bson_size, bson_value
from runtime.documents.errors import (
    BAD_VALUE,
    INVALID_ID_FIELD,
    INVALID_NAMESPACE,
    OBJECT_TOO_LARGE,
    DatabaseError,
)
from runtime.messages import CommandBounds, DocumentCommand

_SETTING: Final = frozenset({"$set", "$setOnInsert"})
_WRITTEN: Final = frozenset({"doc", "docs", "replacement", "update"})
"""Arguments that end up in documents. A replacement by a client may have become an update by a pipeline."""


def bson_command(command: DocumentCommand, bounds: CommandBounds) -> DocumentCommand:
    """Pure. Raises DatabaseError for what BSON cannot hold, what is larger than a document may be, and what
    leads out of the space's database."""
    check_own_collection(command.collection)
    converted = replace(
        command,
        arguments={
            name: _ARGUMENTS.get(name, bson_value)(each) for name, each in command.arguments.items()
        },
        options={
            name: bson_value(each) if name == "arrayFilters" else each
            for name, each in command.options.items()
        },
    )
    _check_sizes(converted, bounds.document_bytes)
    return converted


def check_own_collection(name: str) -> None:
    """Raises DatabaseError for a name that the database keeps for itself."""
    if "$" in name or "\0" in name or name.startswith("system."):
        raise DatabaseError(INVALID_NAMESPACE, f"collection {name[:64]!a} belongs to the database")


def _check_sizes(command: DocumentCommand, bytes_max: int) -> None:
    """Before anything is sent: of many documents none is written, and a transaction goes on."""
    for name in _WRITTEN & command.arguments.keys():
        written = command.arguments[name]
        for number, each in enumerate(written if name == "docs" else [written]):
            size = bson_size(each)
            if size > bytes_max:
                what = f"docs[{number}]" if name == "docs" else name
                raise DatabaseError(
                    OBJECT_TOO_LARGE,
                    f"{operation_of(command)}: {what} has {size} bytes as BSON, a document has at most"
                    f" {bytes_max} (YUNHAN_DATABASE_DOCUMENT_MAX_BYTES); nothing was written",
                )


def _bson_update(update: Any) -> Any:
    if isinstance(update, list):  # a pipeline
        return [bson_expression(each) for each in update]
    if not update or not all(name.startswith("$") for name in update):
        raise DatabaseError(BAD_VALUE, "an update must have operators such as $set")
    return {name: _bson_change(name, each) for name, each in update.items()}


def _bson_change(name: str, fields: Any) -> Any:
    if name in _SETTING and isinstance(fields, Mapping):
        return {
            path: bson_id(each) if path == "_id" else bson_value(each)
            for path, each in fields.items()
        }
    return bson_value(fields)


def _bson_replacement(document: Mapping[str, Any]) -> dict[str, Any]:
    for key in document:
        if key.startswith("$"):
            raise DatabaseError(BAD_VALUE, f"a document must not have the operator {key[:64]!a}")
    if isinstance(document.get("_id"), list):
        raise DatabaseError(INVALID_ID_FIELD, "the _id of a document must not be an array")
    return bson_document(document)


_ARGUMENTS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "query": bson_filter,
    "filter": bson_filter,
    "update": _bson_update,
    "doc": _bson_replacement,
    "replacement": _bson_replacement,
    "docs": lambda documents: [_bson_replacement(each) for each in documents],
    "pipeline": bson_pipeline,
}
