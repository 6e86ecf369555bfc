"""How callers name files that are there: by id, by URL, by the SDKs' `filePath`."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from runtime.errors import InvalidParameterError
from runtime.files.paths import file_id_of
from runtime.files.refusals import param_invalid

IDS_MAX = 50
"""Ids of one `info` (spec: functions (g), `ParamInvalid`)."""
REFERENCE_MAX = 4096
"""Characters: an encoded path of 1023 bytes takes 3069, the rest is for the host and a signature."""

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SCHEME = re.compile(r"https?://", re.IGNORECASE)


def is_url(reference: str) -> bool:
    """Whether it is an address, not an id."""
    return _SCHEME.match(reference) is not None


def ids_named(space_id: str, reference: str) -> tuple[str, ...]:
    """The ids of the files of this space that it may mean, the likeliest first; empty when it means none.

    Hosts are not looked at: apps keep addresses longer than a space keeps its public names. Addresses of ours
    are encoded, some wholly and some as far as they must be, and `info` adds a query; what people write by
    hand may not be."""
    if len(reference) > REFERENCE_MAX or any("\ud800" <= each <= "\udfff" for each in reference):
        return ()
    if _ID.fullmatch(reference):
        return (reference,)
    if reference.startswith(
        "/"
    ):  # the wanted path of an upload (option `cloudPath`), letter by letter
        return (file_id_of(space_id, reference[1:]),)
    if is_url(reference):
        _, found, path = reference.partition(f"/{space_id}/")
    else:
        found, path = space_id, reference.removeprefix(f"{space_id}/")
        if path == reference:
            return ()
    if not found or not path:
        return ()
    plain = re.split(r"[?#]", path, maxsplit=1)[0]
    meant = dict.fromkeys((unquote(plain), plain, path))
    return tuple(file_id_of(space_id, each) for each in meant if each)


def reference_in(value: Any) -> str:
    """What `params.id` names: a text or, from functions, `{"fileUrl": url}` (server protocol §4).

    Raises InvalidParameterError (`ParamInvalid`)."""
    if isinstance(value, dict):
        value = value.get("fileUrl", value.get("fileId"))
    if not isinstance(value, str) or not value:
        raise param_invalid(
            "id", "id must be the id or URL of a file, or an object with its fileUrl"
        )
    return value


def references_in(value: Any) -> tuple[str, ...]:
    """The parts of an `id` with commas, each once, in their order.

    Raises InvalidParameterError (`ParamInvalid`): no text, or more than `IDS_MAX`."""
    if not isinstance(value, str):
        raise param_invalid("id", "id must be ids or URLs of files, with commas between them")
    if value.count(",") >= 2 * IDS_MAX:
        raise _too_many()
    parts = tuple(dict.fromkeys(part for each in value.split(",") if (part := each.strip())))
    if len(parts) > IDS_MAX:
        raise _too_many()
    return parts


def _too_many() -> InvalidParameterError:
    return param_invalid("id", f"at most {IDS_MAX} files can be asked about at once")
