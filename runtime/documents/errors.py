"""Errors of database commands: the code is the database server's number where one exists.

A server's text may quote the document at which it stopped, "cannot create field x in element {secret: 5}":
`may_quote` tells which those are."""

from __future__ import annotations

from runtime.errors import CallerError

BAD_VALUE = 2
FAILED_TO_PARSE = 9
TYPE_MISMATCH = 14
UNAUTHORIZED = 13
OVERFLOW = 15
NAMESPACE_NOT_FOUND = 26
CONFLICTING_UPDATES = 40
MAX_TIME_EXPIRED = 50
INVALID_ID_FIELD = 53
IMMUTABLE_FIELD = 66
INVALID_NAMESPACE = 73
WRITE_CONFLICT = 112
EXCEEDED_MEMORY_LIMIT = 146
NO_SUCH_TRANSACTION = 251
OPERATION_NOT_IN_TRANSACTION = 263
OBJECT_TOO_LARGE = 10334
DUPLICATE_KEY = 11000
INVALID_REGEX = 51091

_BEFORE_DOCUMENTS = frozenset(
    {BAD_VALUE, FAILED_TO_PARSE, TYPE_MISMATCH, CONFLICTING_UPDATES, INVALID_REGEX}
)
"""Said of a command before it is carried out, BadValue and TypeMismatch of documents as well."""
_AT_DOCUMENTS = "executor error"
"""In what a server says about a document at which it stopped."""
_QUOTES_NOTHING = frozenset(
    {NAMESPACE_NOT_FOUND, MAX_TIME_EXPIRED, INVALID_ID_FIELD, IMMUTABLE_FIELD, INVALID_NAMESPACE}
    | {WRITE_CONFLICT, NO_SUCH_TRANSACTION, OPERATION_NOT_IN_TRANSACTION, OBJECT_TOO_LARGE}
    | {DUPLICATE_KEY}
)
_OF_A_STAGE = ": Invalid $"
"""Before what a server says about a stage that it does not understand."""

_NAMES = {
    BAD_VALUE: "BadValue",
    UNAUTHORIZED: "Unauthorized",
    TYPE_MISMATCH: "TypeMismatch",
    OVERFLOW: "Overflow",
    NAMESPACE_NOT_FOUND: "NamespaceNotFound",
    MAX_TIME_EXPIRED: "MaxTimeMSExpired",
    INVALID_NAMESPACE: "InvalidNamespace",
    WRITE_CONFLICT: "WriteConflict",
    EXCEEDED_MEMORY_LIMIT: "ExceededMemoryLimit",
    NO_SUCH_TRANSACTION: "NoSuchTransaction",
    OPERATION_NOT_IN_TRANSACTION: "OperationNotSupportedInTransaction",
    OBJECT_TOO_LARGE: "BSONObjectTooLarge",
    DUPLICATE_KEY: "DuplicateKey",
}


class DatabaseError(CallerError):
    """A command that the caller has to change, or in the case of 112 to repeat. `number` is the server's."""

    def __init__(self, number: int, message: str) -> None:
        name = _NAMES.get(number)
        super().__init__(str(number), f"{name}: {message}" if name else message)
        self.number = number
        self.reason = message


def looked_at_documents(number: object, text: str) -> bool:
    """Whether the server may have come as far as the documents when it said this."""
    return number not in _BEFORE_DOCUMENTS or _AT_DOCUMENTS in text.lower()


def may_quote(error: DatabaseError) -> bool:
    """Whether its text may hold values of documents."""
    if error.number in _QUOTES_NOTHING or _OF_A_STAGE in error.reason:
        return False
    return looked_at_documents(error.number, error.reason)


def without_quotes(error: DatabaseError, operation: str) -> DatabaseError:
    """The same for a caller who may not read all documents. `operation` says what was tried."""
    return DatabaseError(
        error.number,
        f"{operation}: the database stopped at a document. What it says is left out, for it may show"
        " documents that the access rules keep from the caller; a function with this command sees it",
    )
