"""Errors of database commands: the code is the database server's number where one exists."""

from __future__ import annotations

from runtime.errors import CallerError

BAD_VALUE = 2
TYPE_MISMATCH = 14
UNAUTHORIZED = 13
OVERFLOW = 15
NAMESPACE_NOT_FOUND = 26
MAX_TIME_EXPIRED = 50
INVALID_NAMESPACE = 73
WRITE_CONFLICT = 112
NO_SUCH_TRANSACTION = 251
OPERATION_NOT_IN_TRANSACTION = 263
OBJECT_TOO_LARGE = 10334
DUPLICATE_KEY = 11000

_NAMES = {
    BAD_VALUE: "BadValue",
    UNAUTHORIZED: "Unauthorized",
    TYPE_MISMATCH: "TypeMismatch",
    OVERFLOW: "Overflow",
    NAMESPACE_NOT_FOUND: "NamespaceNotFound",
    MAX_TIME_EXPIRED: "MaxTimeMSExpired",
    INVALID_NAMESPACE: "InvalidNamespace",
    WRITE_CONFLICT: "WriteConflict",
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
