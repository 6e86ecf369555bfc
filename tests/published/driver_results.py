"""What the driver answers or raises -> the form of the tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pymongo.errors import (
    BulkWriteError,
    ClientBulkWriteException,
    OperationFailure,
    PyMongoError,
)
from pymongo.results import (
    BulkWriteResult,
    ClientBulkWriteResult,
    DeleteResult,
    InsertManyResult,
    InsertOneResult,
    UpdateResult,
)

from tests.published.compare import Failure

REFUSALS = (PyMongoError, ValueError)
"""What the driver raises for what an operation says or finds."""


def told(result: Any) -> Any:
    """Documents and numbers stay as they are."""
    for kind, form in _FORMS:
        if isinstance(result, kind):
            return form(result)
    return result


def failure_of(error: Exception) -> Failure:
    """Of one of `REFUSALS`."""
    text = f"{type(error).__name__}: {error}"[:500]
    extra: dict[str, Any]
    if isinstance(error, ClientBulkWriteException):
        at = {str(each["idx"]): each["code"] for each in error.details["writeErrors"]}
        done = error.partial_result
        extra = {"at": at, "done": {} if done is None else _of_client(done)}
        return Failure(text, sent=True, extra=extra)
    if isinstance(error, BulkWriteError):
        codes = {each["code"] for each in error.details["writeErrors"]}
        extra = {"done": _of_bulk(error.details), "transient": _is_transient(error)}
        return Failure(text, codes.pop() if codes else None, extra=extra)
    if isinstance(error, OperationFailure):
        extra = {"details": dict(error.details or {}), "transient": _is_transient(error)}
        return Failure(text, error.code, extra=extra)
    return Failure(text, sent=False)


def _is_transient(error: PyMongoError) -> bool:
    return error.has_error_label("TransientTransactionError")


def _updated(result: UpdateResult) -> dict[str, Any]:
    counts = {"matched": result.matched_count, "modified": result.modified_count}
    return {**counts, "upserted": result.upserted_id} if result.did_upsert else counts


def _of_bulk(details: Mapping[str, Any]) -> dict[str, Any]:
    done = {
        "inserted": details.get("nInserted", 0),
        "matched": details.get("nMatched", 0),
        "modified": details.get("nModified", 0),
        "deleted": details.get("nRemoved", 0),
        "upserted": {str(each["index"]): each["_id"] for each in details.get("upserted", ())},
    }
    return {key: each for key, each in done.items() if each}


def _of_client(result: ClientBulkWriteResult) -> dict[str, Any]:
    done: dict[str, Any] = {
        "inserted": result.inserted_count,
        "matched": result.matched_count,
        "modified": result.modified_count,
        "deleted": result.deleted_count,
        "upserts": result.upserted_count,
    }
    done = {key: each for key, each in done.items() if each}
    if not result.has_verbose_results:
        return done
    each = {
        **{index: {"id": one.inserted_id} for index, one in result.insert_results.items()},
        **{index: _updated(one) for index, one in result.update_results.items()},
        **{index: {"deleted": one.deleted_count} for index, one in result.delete_results.items()},
    }
    return {**done, "each": {str(index): each[index] for index in sorted(each)}} if each else done


_FORMS: Final[Sequence[tuple[type, Callable[[Any], Any]]]] = (
    (InsertOneResult, lambda result: result.inserted_id),
    (InsertManyResult, lambda result: result.inserted_ids),
    (DeleteResult, lambda result: result.deleted_count),
    (UpdateResult, _updated),
    (BulkWriteResult, lambda result: _of_bulk(result.bulk_api_result)),
    (ClientBulkWriteResult, _of_client),
)
