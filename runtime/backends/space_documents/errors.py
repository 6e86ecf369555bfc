"""The driver's errors: what the caller can change gets the server's number, the rest is ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from bson.errors import BSONError, InvalidBSON
from pymongo.errors import (
    BulkWriteError,
    DocumentTooLarge,
    InvalidName,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)

from runtime.backends.documents_mongodb import may_pass, translate
from runtime.documents.errors import (
    BAD_VALUE,
    INVALID_NAMESPACE,
    MAX_TIME_EXPIRED,
    NO_SUCH_TRANSACTION,
    OBJECT_TOO_LARGE,
    OPERATION_NOT_IN_TRANSACTION,
    WRITE_CONFLICT,
    DatabaseError,
)
from runtime.errors import OursError, UnavailableError, YunhanError

_TOLD: Final = frozenset(
    {MAX_TIME_EXPIRED, WRITE_CONFLICT, NO_SUCH_TRANSACTION, OPERATION_NOT_IN_TRANSACTION}
)
"""Passing ones that the caller is told nevertheless: it has to shorten its command, or to do all of its
transaction again."""

_FAILED: Final = frozenset({1, 8})
"""InternalError, UnknownError: the server failed at the command and does not know why."""

_OURS: Final = frozenset(
    {
        13,  # Unauthorized: we are, whoever the caller is
        18,  # AuthenticationFailed
        43,  # CursorNotFound
        59,  # CommandNotFound
        64,  # WriteConcernFailed
        79,  # UnknownReplWriteConcern
        100,  # UnsatisfiableWriteConcern
        133,  # FailedToSatisfyReadPreference
        237,  # CursorKilled
        8000,  # AtlasError
        11601,  # Interrupted
        14031,  # OutOfDiskSpace
    }
)
"""No caller can do anything about these. All others speak about what the command says or finds."""

_REFUSED: Final[Mapping[type[Exception], int]] = {
    DocumentTooLarge: OBJECT_TOO_LARGE,
    InvalidName: INVALID_NAMESPACE,
}
"""By the driver, before anything is sent. The rest of these is about values that BSON cannot hold."""

_TEXT_MAX: Final = 500
_DUPLICATE: Final = " dup key: "


class ServerFailedError(OursError):
    """The server failed at a command and does not know why. Where it is well, the command is to blame: it
    holds what the server cannot carry out and did not foresee."""

    def __init__(self, number: int, operation: str, text: str, note: str = "") -> None:
        super().__init__("InternalServerError", f"document database ({operation}): {text}{note}")
        self.number = number
        self._operation = operation
        self._note = note

    def as_callers(self) -> DatabaseError:
        """The same for a caller, without the text: it is about the server's insides."""
        return DatabaseError(
            BAD_VALUE,
            f"{self._operation}: the database failed at this command; change its values or"
            f" operators, they go beyond what it can do{self._note}",
        )


class TooSlowError(UnavailableError):
    """The server did not answer a command in its time. Where it is well, the command is too much for it, or
    waits for what somebody else changes."""

    def __init__(self, operation: str) -> None:
        super().__init__(f"document database did not answer in time ({operation})")
        self._operation = operation

    def as_callers(self, *, time_ms: int, unknown: bool) -> DatabaseError:
        """The same for a caller, with the number of a server that ends a command in time. `unknown`: it may
        still be carried out."""
        note = "; whether it is carried out nevertheless is not known" if unknown else ""
        return DatabaseError(
            MAX_TIME_EXPIRED,
            f"{self._operation}: not ended after {time_ms} ms. It may be too much at once, or wait for"
            f" documents that an open transaction has changed{note}",
        )


@contextmanager
def told(operation: str, database: str) -> Iterator[None]:
    """Errors of the driver leave this block as DatabaseError, UnavailableError or OursError. `operation` says
    what was tried; the name of the `database`, which is ours, is cut from texts."""
    try:
        yield
    except (PyMongoError, BSONError, UnicodeEncodeError, OverflowError) as error:
        raise error_of(error, operation, database) from error
    except TimeoutError as error:
        raise TooSlowError(operation) from error


def error_of(error: Exception, operation: str, database: str) -> YunhanError:
    """Ours for one of the driver's."""
    if isinstance(error, BulkWriteError):
        return _of_many(error, operation, database)
    if isinstance(error, OperationFailure) and (_is_callers(error) or _is_failed(error)):
        return of_reply({"code": error.code, **(error.details or {})}, operation, database)
    if (
        isinstance(error, PyMongoError)
        and error.timeout
        and not isinstance(error, OperationFailure)
    ):
        return TooSlowError(operation)
    if isinstance(error, PyMongoError | InvalidBSON) and type(error) not in _REFUSED:
        return translate(error, operation)
    number = _REFUSED.get(type(error), BAD_VALUE)
    return DatabaseError(number, f"{operation}: {_cut(str(error))}")


def _is_callers(error: OperationFailure) -> bool:
    if isinstance(error, WriteConcernError) or not isinstance(error.code, int):
        return False
    return error.code in _TOLD or (error.code not in _OURS and not may_pass(error))


def _is_failed(error: OperationFailure) -> bool:
    return (
        error.code in _FAILED and not isinstance(error, WriteConcernError) and not may_pass(error)
    )


def of_reply(reply: dict[str, Any], operation: str, database: str, note: str = "") -> YunhanError:
    """For `code`, `codeName` and `errmsg` of a server's reply or of one write in it. `note` says what was
    done nevertheless."""
    text = _shown(str(reply.get("errmsg") or "no further text"), database)
    failure = OperationFailure(text, reply.get("code"), reply)
    if _is_failed(failure):
        return ServerFailedError(reply["code"], operation, text, note)
    if not _is_callers(failure):
        return translate(failure, operation)
    number: int = reply["code"]
    name = reply.get("codeName", "")
    error = DatabaseError(number, f"{operation}: {text}{note}")
    if not name or name.startswith("Location") or error.message.startswith(name):
        return error
    return DatabaseError(number, f"{name}: {operation}: {text}{note}")


def _of_many(error: BulkWriteError, operation: str, database: str) -> YunhanError:
    details = error.details
    written = details.get("nInserted", 0) + details.get("nUpserted", 0) + details.get("nMatched", 0)
    failed = details.get("writeErrors") or []
    if not failed:  # written, but not confirmed by a majority
        return UnavailableError(f"document database did not confirm a write ({operation})")
    note = f"; the {written} before it were written, those after it were not"
    first = failed[0]
    return of_reply(first, f"{operation}, item {first.get('index', 0)}", database, note)


def _shown(text: str, database: str) -> str:
    """A server's text without our database's name, and without the key that stood there already: more than
    one field of it may be of a document that the caller cannot read. The index is named."""
    return _cut(
        text.partition(_DUPLICATE)[0].replace(f"{database}.", "").replace(database, "the space")
    )


def _cut(text: str) -> str:
    line = text.partition(", full error:")[0]
    return line if len(line) <= _TEXT_MAX else line[:_TEXT_MAX] + "..."
