"""The fields of an upload form: everything before the file, under bounds (spec: client protocol §7)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from runtime.errors import CallerError
from runtime.gateway.files.multipart import FormError, MultipartReader

FILE = "file"
"""The field that holds the file, the last one."""
FIELDS_MAX = 64
FIELD_MAX_BYTES = 16 * 1024
"""A policy has less than 4 KiB, a disposition with a long name in any script 10 KiB."""
FIELDS_MAX_BYTES = 64 * 1024
NAME_MAX_CHARACTERS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadForm:
    """`fields` under the names that they came with, no two of which differ in case only; `file_type` is the
    media type that the file's part names, empty when it names none."""

    fields: Mapping[str, str]
    file_type: str


async def read_fields(parts: MultipartReader, *, timeout_s: float) -> UploadForm:
    """Read up to the first byte of the file.

    Raises FormError, and CallerError when the fields did not come in time: dripping them byte by byte would
    else be free.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _read_fields(parts)
    except TimeoutError:
        raise CallerError(
            "RequestTimeout", f"the form's fields did not arrive within {timeout_s:g} s"
        ) from None


async def _read_fields(parts: MultipartReader) -> UploadForm:
    fields: dict[str, str] = {}
    seen: set[str] = set()
    left = FIELDS_MAX_BYTES
    while (part := await parts.next_part()) is not None:
        if part.name == FILE:
            return UploadForm(fields=fields, file_type=part.content_type)
        value = await parts.value(FIELD_MAX_BYTES)
        left -= len(part.name) + len(value)
        if left < 0 or len(fields) == FIELDS_MAX or len(part.name) > NAME_MAX_CHARACTERS:
            raise FormError(
                f"a form has at most {FIELDS_MAX} fields, {FIELDS_MAX_BYTES} bytes, before its file",
                code="FieldItemTooLong",
            )
        if part.name.lower() in seen:
            raise FormError(f"the field {part.name[:64]!r} comes twice")
        seen.add(part.name.lower())
        fields[part.name] = _text(part.name, value)
    raise FormError(
        f"the form has no field {FILE!r}, or not as its last one",
        code="IncorrectNumberOfFilesInPOSTRequest",
    )


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise FormError(f"the field {name[:64]!r} is not UTF-8") from None
