"""The user of the embedded document server and its password, kept in one file of mode 0600.

The file is written last, after the server has the user, asks for passwords and knows nobody else. So its
presence says that all this is done, and a crash at any point before is repaired by doing it all again.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from runtime.backends.embedded.child import EmbeddedDocumentsError
from runtime.sealing import write_private_file

USER = "yunhan"
"""In the database admin."""
_USER_EXISTS = 51003
_TIMEOUT_MS = 10_000

_Client = AsyncMongoClient[dict[str, Any]]


class LoginRefusedError(EmbeddedDocumentsError):
    """The server answers, but not to our user."""


class EmbeddedLogin:
    """One user with all rights on one embedded server."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._password = ""

    def __repr__(self) -> str:
        return f"EmbeddedLogin({str(self._path)!r})"

    def load(self) -> bool:
        """Read the file; False when there is none. Raises EmbeddedDocumentsError."""
        try:
            self._password = self._path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            raise EmbeddedDocumentsError(
                f"the password of the embedded document server cannot be read: {error}"
            ) from error
        return True

    async def make(self, port: int) -> None:
        """Give a server that runs without authentication its user. Repeatable."""
        self._password = secrets.token_urlsafe(32)
        user: dict[str, Any] = {
            "pwd": self._password,
            "roles": ["root"],
            "mechanisms": ["SCRAM-SHA-256"],
        }
        try:
            async with _Client(_open_url(port), timeoutMS=_TIMEOUT_MS) as client:
                try:
                    await client.admin.command("createUser", USER, **user)
                except OperationFailure as error:
                    if error.code != _USER_EXISTS:  # left by a start that was interrupted
                        raise
                    await client.admin.command("updateUser", USER, **user)
        except PyMongoError as error:
            raise _failed("did not take its user", error) from None

    async def confirm(self, port: int) -> None:
        """On the server with authentication: check that nobody else made a user while it was open to every
        local user, then write the file."""
        try:
            async with _Client(self.url(port), timeoutMS=_TIMEOUT_MS) as client:
                users = await client.admin["system.users"].find({}, {"_id": 1}).to_list()
        except PyMongoError as error:
            raise _failed("does not know its user", error) from None
        names = {user["_id"] for user in users}
        if names != {f"admin.{USER}"}:
            raise EmbeddedDocumentsError(
                f"the embedded document server has users that are not ours: {sorted(names)};"
                f" nothing was stored yet: delete {self._path.parent} and start again"
            )
        write_private_file(self._path, self._password.encode())

    async def ping(self, port: int, *, timeout_s: float) -> None:
        """One authenticated round trip, which also proves that the server on this port is ours.

        Raises LoginRefusedError, and EmbeddedDocumentsError when there is no answer."""
        try:
            async with _Client(self.url(port), timeoutMS=round(timeout_s * 1000)) as client:
                await client.admin.command("ping")
        except OperationFailure as error:
            raise LoginRefusedError(
                _said(
                    f"refuses the password in {self._path}; delete that file to have a new one made",
                    error,
                )
            ) from None
        except PyMongoError as error:
            raise _failed("does not answer", error) from None

    def url(self, port: int) -> str:
        """With the password in it: for the driver only.

        The driver may not repeat writes: the server knows only until its death which ones it has had, so that
        one repeated afterwards could be done twice; and it looks through all that it had at every write."""
        return (
            f"mongodb://{USER}:{quote(self._password, safe='')}@127.0.0.1:{port}/"
            "?authSource=admin&directConnection=true&retryWrites=false"
        )


def _open_url(port: int) -> str:
    return f"mongodb://127.0.0.1:{port}/?directConnection=true"


def _failed(what: str, error: PyMongoError) -> EmbeddedDocumentsError:
    return EmbeddedDocumentsError(_said(what, error))


def _said(what: str, error: PyMongoError) -> str:
    """Without the cause's chain: its server reply is long and says no more."""
    reason = str(error).partition(", full error:")[0]
    return f"the embedded document server {what}: {type(error).__name__}: {reason}"
