"""Which file of which space a request's path names: `/oss/{space}/{path}`."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from runtime.errors import NotFoundError

PREFIX = "/oss/"


def file_address(raw_path: str) -> tuple[str, str]:
    """The space and the path in it, percent-decoded exactly once and not normalized otherwise.

    `raw_path` is as it was sent, without the query. A `%` that begins no escape stands for itself: the SDKs
    make addresses of files without escaping anything. Raises NotFoundError when no file can have such an
    address.
    """
    space, slash, path = raw_path.removeprefix(PREFIX).partition("/")
    try:
        decoded = unquote_to_bytes(path).decode()
    except UnicodeError:
        decoded = ""
    if not raw_path.startswith(PREFIX) or not slash or not space or not decoded:
        raise NotFoundError("NoSuchKey", f"no file has the address {raw_path[:200]!r}")
    return space, decoded
