"""A client of the management API, over the standard library: a command makes a few calls and ends."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.client import (
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    HTTPSConnection,
    IncompleteRead,
)
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit

from runtime.cli.connection import START_IT, Connection
from runtime.cli.errors import CliError, RemoteError, UnreachableError
from runtime.signatures.rpc_v1 import signed_parameters

CALL_TIMEOUT_S = 30.0
UPLOAD_TIMEOUT_S = 300.0
PAGE_SIZE = 100
PAGES_MAX = 1000
"""Bound of every walk through pages."""
_CHUNK_BYTES = 256 * 1024
_REFUSAL_MAX_BYTES = 64 * 1024

Parameter = str | int | bool | Sequence[str] | None

_NEXT_STEPS = {
    "InvalidAccessKeyId.NotFound": "The management key is another program's: compare `yunhan keys`"
    " and YUNHAN_DATA_DIR with the program's own.",
    "SignatureDoesNotMatch": "The secret does not belong to the key: check"
    " YUNHAN_ACCESS_KEY_SECRET.",
    "InvalidTimeStamp.Expired": "Set the clock of this machine.",
    "FunctionNotFound": "`yunhan function list --space {space}` shows what is there.",
    "InvalidSpaceId.NotFound": "`yunhan space list` shows what is there.",
}


class ManagementClient:
    """Signed calls to one program. Not for use by several threads at once."""

    def __init__(self, connection: Connection) -> None:
        self._url = _parse(connection.endpoint)
        self._key = connection.key
        self.endpoint = connection.endpoint

    def call(
        self,
        action: str,
        parameters: Mapping[str, Parameter] | None = None,
        *,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> dict[str, Any]:
        """The answer of one action. None parameters are not sent.

        Raises RemoteError (the program refused) or UnreachableError. Never repeats a call.
        """
        form = signed_parameters(
            "POST",
            action,
            _as_texts(parameters or {}),
            access_key_id=self._key.key_id,
            secret=self._key.secret,
            now=datetime.now(UTC),
            nonce=secrets.token_hex(16),
        )
        status, body = _exchange(
            self._url,
            "POST",
            "/",
            body=urlencode(form).encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            timeout_s=timeout_s,
        )
        answer = _json_object(body)
        if answer is None:
            raise UnreachableError(
                f"what answers at {self.endpoint} is not Yunhan (HTTP {status}).",
                next_step=START_IT,
            )
        if status >= 400:
            raise _refused(answer, space=str((parameters or {}).get("SpaceId") or ""))
        return answer

    def items(
        self, action: str, parameters: Mapping[str, Parameter], *, key: str
    ) -> Iterator[dict[str, Any]]:
        """Every item of a paged answer; `key` names the list in it."""
        for number in range(1, PAGES_MAX + 1):
            page = {**parameters, "PageNum": number, "PageSize": PAGE_SIZE}
            found = self.call(action, page).get(key) or []
            yield from found
            if len(found) < PAGE_SIZE:
                return

    def upload(
        self,
        address: str,
        file: Path,
        *,
        progress: Callable[[int], None],
        content_type: str = "application/zip",
    ) -> None:
        """PUT a file's bytes to an upload address; `progress` gets the bytes of each chunk sent."""
        url = _parse(address)
        status, body = _exchange(
            url,
            "PUT",
            f"{url.path}?{url.query}" if url.query else url.path,
            body=_chunks(file, progress),
            headers={
                "Content-Type": content_type,
                "Content-Length": str(file.stat().st_size),
            },
            timeout_s=UPLOAD_TIMEOUT_S,
        )
        if status >= 300:
            answer = _json_object(body)
            if answer is None:
                raise CliError(f"the upload was refused (HTTP {status}): {_start_of(body)}")
            raise _refused(answer)

    def download(self, address: str, *, write: Callable[[bytes], None]) -> None:
        """GET a signed address; `write` gets the bytes chunk by chunk. Raises UnreachableError when they end
        early, RemoteError when they are refused: then nothing was written."""
        url = _parse(address)
        target = f"{url.path}?{url.query}" if url.query else url.path
        with _answering(url, "GET", target, timeout_s=UPLOAD_TIMEOUT_S) as response:
            if response.status == 200:
                while chunk := response.read(_CHUNK_BYTES):
                    write(chunk)
                if response.length:  # of what was announced; the library says nothing of that
                    raise IncompleteRead(b"", response.length)
                return
            body = response.read(_REFUSAL_MAX_BYTES)
        answer = _json_object(body)
        if answer is None:
            raise CliError(f"the download was refused (HTTP {response.status}): {_start_of(body)}")
        raise _refused(answer)

    def is_ready(self) -> bool:
        """Whether the program takes calls now. Raises UnreachableError."""
        return is_ready(self.endpoint)


def is_ready(endpoint: str) -> bool:
    """What a program, a worker too, says of itself. Raises UnreachableError."""
    status, _ = _exchange(_parse(endpoint), "GET", "/readyz", timeout_s=5.0)
    return status == 200


def _parse(address: str) -> SplitResult:
    """Raises CliError for what is no address of a server."""
    try:
        url = urlsplit(address)
        fits = url.scheme in {"http", "https"} and url.hostname and url.port != 0
        (url.hostname or "").encode("idna")
    except ValueError:  # a port out of range, half an IPv6 address, a label that is too long
        fits = False
    if not fits or any(character.isspace() for character in address):
        raise CliError(f"{address!r} is no endpoint.", next_step="Write http://host:port.")
    return url


def _as_texts(parameters: Mapping[str, Parameter]) -> dict[str, str]:
    """As pop-core writes them: booleans in lower case, lists as `Name.1`, `Name.2`."""
    texts: dict[str, str] = {}
    for name, value in parameters.items():
        if value is None:
            continue
        if isinstance(value, bool):
            texts[name] = str(value).lower()
        elif isinstance(value, str | int):
            texts[name] = str(value)
        else:
            texts |= {f"{name}.{place}": item for place, item in enumerate(value, 1)}
    return texts


def _exchange(
    url: SplitResult,
    method: str,
    target: str,
    *,
    body: bytes | Iterator[bytes] | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float,
) -> tuple[int, bytes]:
    """One request on a connection of its own: status and body."""
    with _answering(
        url, method, target, body=body, headers=headers, timeout_s=timeout_s
    ) as response:
        return response.status, response.read()


@contextmanager
def _answering(
    url: SplitResult,
    method: str,
    target: str,
    *,
    body: bytes | Iterator[bytes] | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float,
) -> Iterator[HTTPResponse]:
    """One request on a connection of its own, which ends with the context. What goes wrong with the
    connection in it is told as UnreachableError."""
    kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=timeout_s)
    where = f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
    try:
        connection.connect()
    except TimeoutError as error:
        raise UnreachableError(f"{where} took no connection within {timeout_s:.0f} s.") from error
    except OSError as error:
        raise UnreachableError(f"cannot reach {where}: {error}.", next_step=START_IT) from error
    try:
        with suppress(BrokenPipeError, ConnectionResetError):
            # A server that refuses a body answers before it read all of it, then closes.
            connection.request(method, target, body=body, headers=dict(headers or {}))
        yield connection.getresponse()
    except TimeoutError as error:
        raise UnreachableError(f"{where} did not answer within {timeout_s:.0f} s.") from error
    except (OSError, HTTPException) as error:
        raise UnreachableError(
            f"the connection to {where} was cut during the call: {error}.",
            next_step="The call may have been carried out. See whether the program still runs.",
        ) from error
    finally:
        connection.close()


def _chunks(file: Path, progress: Callable[[int], None]) -> Iterator[bytes]:
    with file.open("rb") as source:
        while chunk := source.read(_CHUNK_BYTES):
            yield chunk
            progress(len(chunk))


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _refused(answer: Mapping[str, Any], *, space: str = "") -> RemoteError:
    """Of an action, or of an address of files, whose errors have the form of the SDKs'."""
    error = answer.get("error")
    told = error if isinstance(error, dict) else {}
    code = str(answer.get("Code") or told.get("code") or "InternalError")
    message = str(answer.get("Message") or told.get("message") or "the program gave no reason")
    return RemoteError(code, message, next_step=_NEXT_STEPS.get(code, "").format(space=space))


def _start_of(body: bytes) -> str:
    return body[:200].decode("utf-8", "replace").strip() or "no reason given"
