"""A command of JSON values -> the same command of BSON values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from runtime.backends.space_documents.conditions import bson_expression, bson_filter, bson_pipeline
from runtime.backends.space_documents.values import bson_document, bson_id, bson_value
from runtime.documents.errors import BAD_VALUE, INVALID_NAMESPACE, DatabaseError
from runtime.messages import DocumentCommand

_INVALID_ID_FIELD: Final = 53
_SETTING: Final = frozenset({"$set", "$setOnInsert"})


def bson_command(command: DocumentCommand) -> DocumentCommand:
    """Pure. Raises DatabaseError for what BSON cannot hold, or what leads out of the space's database."""
    check_own_collection(command.collection)
    return replace(
        command,
        arguments={
            name: _ARGUMENTS.get(name, bson_value)(each) for name, each in command.arguments.items()
        },
        options={
            name: bson_value(each) if name == "arrayFilters" else each
            for name, each in command.options.items()
        },
    )


def check_own_collection(name: str) -> None:
    """Raises DatabaseError for a name that the database keeps for itself."""
    if "$" in name or "\0" in name or name.startswith("system."):
        raise DatabaseError(INVALID_NAMESPACE, f"collection {name[:64]!a} belongs to the database")


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
        raise DatabaseError(_INVALID_ID_FIELD, "the _id of a document must not be an array")
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
