"""Actions on files (spec: management API §4 and §5, "Files"). No rule of the space restricts them.

A file is named by its id, by its URL, or by its path with a slash before it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from runtime.errors import InvalidParameterError, NotFoundError
from runtime.files.paths import check_path, file_id_of
from runtime.gateway.management.answers import iso
from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.parameters import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, Parameters
from runtime.services.file_entries import FileEntry


async def describe_file_upload_signed_url(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """First step of an upload: the file's id, and the address to PUT the bytes to, with this `ContentType`.

    `FileId` is the wanted path behind a slash, or the id or URL of the file to overwrite. A `Filename` that
    ends in a slash needs no upload and has no address. There is no `OssCallbackUrl`: `RegisterFile` is the
    last step."""
    signed = await deps.files.sign_put(
        parameters.needed("SpaceId"),
        content_type=parameters.needed("ContentType"),
        filename=parameters.needed("Filename"),
        size=parameters.integer("Size", lowest=0) or 0,
        file_id=parameters.text("FileId") or "",
    )
    address = {} if signed.url is None else {"SignUrl": signed.url}
    return {"Id": signed.file_id, "Overwrite": signed.overwrite, **address}


async def register_file(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """Last step of an upload: from now on the file is there. May be repeated."""
    await deps.files.register(parameters.needed("SpaceId"), parameters.needed("Id"))
    return {}


async def list_file(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """By path. `Prefix` and `Keyword` (anywhere in the path) are exact text, `FileId` names one file.
    `AuthDelta` says how many seconds the addresses of private files are good. `Mode` does not count."""
    space_id = parameters.needed("SpaceId")
    wanted = parameters.integer("PageSize", lowest=1, highest=PAGE_SIZE_MAX) or PAGE_SIZE_DEFAULT
    size = min(wanted, deps.settings.file_page_max)
    seconds = deps.files.url_ttl_s(parameters.integer("AuthDelta", lowest=1))
    file_id = parameters.text("FileId")
    if file_id:
        entry = await deps.files.entry(space_id, _named(space_id, file_id), url_ttl_s=seconds)
        entries = [] if entry is None else [entry]
        more = False
    else:
        entries = list(
            await deps.files.page(
                space_id,
                prefix=parameters.text("Prefix") or "",
                keyword=parameters.text("Keyword") or "",
                after=_after(parameters.text("NextToken")),
                limit=size,
                url_ttl_s=seconds,
            )
        )
        more = len(entries) == size
    token = {"NextToken": _token(entries[-1].record.path)} if more else {}
    return {
        "DataList": [_row(entry, seconds) for entry in entries],
        "Paginator": {"PageSize": size, **token},
    }


async def delete_file(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """`Id` names the file in one of the three ways."""
    space_id = parameters.needed("SpaceId")
    await deps.files.remove(space_id, _named(space_id, parameters.needed("Id")))
    return {}


async def yunhan_describe_file(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """Our own: one file, and an address at the endpoint itself from which its bytes can be had for a while:
    whoever manages a space need not reach the public names of its files."""
    space_id, name = parameters.needed("SpaceId"), parameters.needed("FileId")
    entry = await deps.files.entry(space_id, _named(space_id, name))
    if entry is None:
        raise NotFoundError("FileNotFound", f"there is no file {name[:200]} in space {space_id}")
    record = entry.record
    ttl_s = deps.files.url_ttl_s(None)
    return {
        **_row(entry, ttl_s),
        "Md5": record.blob.md5 if record.blob else "",
        "OwnerId": record.owner_id or "",
        "Private": entry.private,
        "DownloadSignedUrl": deps.file_addresses.download(space_id, record.path, ttl_s=ttl_s),
    }


def _row(entry: FileEntry, seconds: int) -> dict[str, Any]:
    """A file as every action shows it; `Path` is our own. `AuthDelta` is 0 where everybody may read."""
    return {
        "Id": entry.record.file_id,
        "Name": entry.name,
        "Path": entry.record.path,
        "Size": entry.size,
        "Type": entry.content_type,
        "Url": entry.url,
        "AuthDelta": seconds if entry.private else 0,
        "GmtCreate": iso(entry.record.created_ms),
        "GmtModified": iso(entry.record.modified_ms),
    }


def _named(space_id: str, name: str) -> str:
    """An id or URL. Raises InvalidParameterError for a path that no file can have.

    A path is not looked into for escapes or a query, as URLs are: it names this file or none."""
    if not name.startswith("/"):
        return name
    return file_id_of(space_id, check_path(name[1:], "FileId"))


def _token(path: str) -> str:
    """Of the page behind this path. Nothing for callers to read, or to escape."""
    return base64.urlsafe_b64encode(path.encode()).decode()


def _after(token: str | None) -> str | None:
    if not token:
        return None
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidParameterError(
            "NextToken", "NextToken is not one that an answer gave"
        ) from None


ACTIONS = {
    "DescribeFileUploadSignedUrl": describe_file_upload_signed_url,
    "RegisterFile": register_file,
    "ListFile": list_file,
    "DeleteFile": delete_file,
    "YunhanDescribeFile": yunhan_describe_file,
}
