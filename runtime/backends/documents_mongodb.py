"""The connection to the document database, and the only translation of its driver's errors.

Real MongoDB and the embedded server look the same from here: both are one `mongodb://` URL.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from bson.errors import BSONError
from pymongo import AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    ConnectionFailure,
    CursorNotFound,
    DuplicateKeyError,
    ExecutionTimeout,
    OperationFailure,
    ProtocolError,
    PyMongoError,
    WriteConcernError,
    WTimeoutError,
)

from runtime.errors import ConflictError, OursError, UnavailableError, YunhanError
from runtime.settings import SettingsError, secret_in

Document = dict[str, Any]
Client = AsyncMongoClient[Document]

_PASSING = (
    ConnectionFailure,
    CursorNotFound,
    ExecutionTimeout,
    ProtocolError,
    WriteConcernError,
    WTimeoutError,
)
"""What a repetition may get past: the server is away, slow, or a failover is under way."""

PASSING_CODES = frozenset(
    {
        6,  # HostUnreachable
        7,  # HostNotFound
        24,  # LockTimeout
        50,  # MaxTimeMSExpired
        89,  # NetworkTimeout
        91,  # ShutdownInProgress
        112,  # WriteConflict
        134,  # ReadConcernMajorityNotAvailableYet
        189,  # PrimarySteppedDown
        262,  # ExceededTimeLimit
        10107,  # NotWritablePrimary
        11600,  # InterruptedAtShutdown
        11602,  # InterruptedDueToReplStateChange
        13435,  # NotPrimaryNoSecondaryOk
        13436,  # NotPrimaryOrSecondary
    }
)
"""Server error codes of the same kind."""

_REFUSED_CODES = frozenset({13, 18})  # Unauthorized, AuthenticationFailed


def connect(
    url: str, *, timeout_s: float, password_file: str = "", connections_max: int = 100
) -> Client:
    """A client for `url`; it connects with its first operation, so this neither waits nor fails for a
    server that is away. Call it in a running event loop; close it with `await client.close()`.

    `timeout_s` bounds every operation as a whole, search for a server and retries included. What finds
    `connections_max` connections busy waits for one. Options written in the URL win over ours. The
    password of the URL's user may be in `password_file`. Raises SettingsError when that cannot be read or
    the URL is malformed; neither that nor any later error repeats the URL, which may hold a password.
    """
    wanted: Document = {
        "appname": "yunhan",
        "connectTimeoutMS": round(timeout_s * 1000),
        "serverSelectionTimeoutMS": round(timeout_s * 1000),
        "timeoutMS": round(timeout_s * 1000),
        "maxPoolSize": connections_max,
        "retryWrites": True,
        "retryReads": True,
        "tz_aware": True,
        "uuidRepresentation": "standard",
    }
    if password_file:
        wanted["password"] = secret_in(password_file, "YUNHAN_DOCUMENTS_PASSWORD_FILE")
    try:
        given = {name.lower() for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
        options = {name: value for name, value in wanted.items() if name.lower() not in given}
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # the driver's way to ignore a bad option
            return AsyncMongoClient(url, **options)
    except (PyMongoError, UserWarning, ValueError, TypeError) as error:
        raise SettingsError(
            f"YUNHAN_DOCUMENTS_URL is no usable MongoDB URL ({type(error).__name__});"
            " write mongodb://user:password@host:27017/?option=value with known options, user and"
            " password percent-encoded"
        ) from None


async def ping(client: Client) -> None:
    """One round trip, authenticated. Raises UnavailableError."""
    with translated("ping"):
        await client.admin.command("ping")


def durable(database: AsyncDatabase[Document], name: str) -> AsyncCollection[Document]:
    """A collection whose confirmed changes survive the loss of any minority of the servers, and which never
    shows an older state than the last one, whatever the URL says. Neither waits nor fails."""
    return database.get_collection(
        name,
        write_concern=WriteConcern(w="majority", j=True),
        read_preference=ReadPreference.PRIMARY,
    )


async def require_replicas(client: Client) -> None:
    """Raises SettingsError for a server that stands alone: it confirms what is not on its disk yet, and has
    no retryable writes. Raises UnavailableError when none answers."""
    with translated("ask what kind of server it is"):
        answer = await client.admin.command("hello")
    if "setName" not in answer and answer.get("msg") != "isdbgrid":
        raise SettingsError(
            "YUNHAN_DOCUMENTS_URL is a MongoDB server that stands alone; asynchronous jobs need a replica"
            " set, which one server can be, too: start it with `mongod --replSet rs0`, run"
            " `rs.initiate()` once in mongosh, and write mongodb://user@host:27017/?replicaSet=rs0"
        )


@contextmanager
def translated(operation: str) -> Iterator[None]:
    """Errors of the driver leave this block as ours. `operation` says what was tried, with its id."""
    try:
        yield
    except (PyMongoError, BSONError, UnicodeEncodeError, OverflowError) as error:
        raise translate(error, operation) from error


def translate(error: Exception, operation: str) -> YunhanError:
    """Ours for one of the driver's.

    ConflictError for a duplicate key, UnavailableError when repeating it later may help, else a plain
    OursError: repeating it changes nothing.
    """
    if isinstance(error, DuplicateKeyError):
        return ConflictError("AlreadyExists", f"{operation}: it exists already")
    reason = f"{type(error).__name__}: {_first_line(error)}"
    if isinstance(error, OperationFailure) and error.code in _REFUSED_CODES:
        return UnavailableError(
            f"document database refused us ({operation}): {reason};"
            " check the user, its password and its roles in YUNHAN_DOCUMENTS_URL"
        )
    if may_pass(error):
        return UnavailableError(f"document database is not available ({operation}): {reason}")
    return OursError("InternalServerError", f"document database ({operation}): {reason}")


def may_pass(error: Exception) -> bool:
    """Whether repeating the operation later may help."""
    if isinstance(error, _PASSING):
        return True
    return isinstance(error, OperationFailure) and (
        error.code in PASSING_CODES
        or error.has_error_label("RetryableWriteError")
        or error.has_error_label("TransientTransactionError")
    )


def _first_line(error: Exception) -> str:
    """The driver appends whole server replies and topologies; the start says what happened."""
    text = str(error).partition(", full error:")[0].partition(", Topology Description:")[0]
    return text.splitlines()[0][:300] if text else "no further text"
