"""What an uploader says about a file's downloads: its type, some headers, words of its own.

Everything here is sent to strangers later, so that nothing of it may end a header line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from mimetypes import MimeTypes

from runtime.errors import InvalidParameterError
from runtime.files.paths import extension_of
from runtime.files.refusals import param_invalid
from runtime.messages import STORED_HEADERS

UNKNOWN_TYPE = "application/octet-stream"
VALUE_MAX_BYTES = 4096
"""Of one value, as UTF-8. A content disposition with a long name in any script has a third of it."""
META_MAX = 32
"""Words of one file."""
META_MAX_BYTES = 8 * 1024
"""Of all of them together, as the original's store has it."""

_TYPE_MAX = 255
_TYPE = re.compile(r"[!#$&^_.+A-Za-z0-9-]{1,127}/[!#$&^_.+A-Za-z0-9-]{1,127}(\s*;[ -~]*)?")
_META_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_TYPES = MimeTypes()
"""Python's own table, not the machine's: the same everywhere."""


def checked_type(content_type: str | None, path: str) -> str:
    """The type, or that of the path's extension when there is none. Raises InvalidParameterError."""
    given = (content_type or "").strip()
    if not given:
        return type_of(path)
    if len(given) > _TYPE_MAX or not _TYPE.fullmatch(given) or _CONTROLS.search(given):
        raise param_invalid("Content-Type", "Content-Type must be a media type like image/png")
    return given


def type_of(path: str) -> str:
    """The usual type of files with this extension."""
    return _TYPES.guess_type(f"x.{extension_of(path)}")[0] or UNKNOWN_TYPE


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of `STORED_HEADERS` that have a value, by lower-case name. Raises InvalidParameterError."""
    return {
        name: _checked(name, value)
        for name, value in ((name.lower(), value.strip()) for name, value in headers.items())
        if name in STORED_HEADERS and value
    }


def checked_meta(meta: Mapping[str, str]) -> dict[str, str]:
    """By the name that a download's `x-meta-` header has: `userId` becomes `user-id` (guide 12.3.1).

    Of two names that become the same the later one counts. Raises InvalidParameterError."""
    if len(meta) > META_MAX:
        raise param_invalid("meta", f"a file has at most {META_MAX} x-oss-meta- fields")
    checked: dict[str, str] = {}
    for name, value in meta.items():
        if not _META_NAME.fullmatch(name):
            raise param_invalid(
                "meta", f"x-oss-meta-{name[:64]!r}: letters, digits, '-', '_' and '.' make a name"
            )
        checked[_HUMP.sub("-", name).lower()] = _checked(f"x-oss-meta-{name}", value.strip())
    if sum(len(name) + len(value.encode()) for name, value in checked.items()) > META_MAX_BYTES:
        raise param_invalid("meta", f"the x-oss-meta- fields have more than {META_MAX_BYTES} bytes")
    return checked


def _checked(name: str, value: str) -> str:
    fault: InvalidParameterError | None = None
    if _CONTROLS.search(value):
        fault = param_invalid(name, f"{name} contains control characters")
    elif len(value.encode()) > VALUE_MAX_BYTES:
        fault = param_invalid(name, f"{name} has more than {VALUE_MAX_BYTES} bytes")
    if fault is not None:
        raise fault
    return value
