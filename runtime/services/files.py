"""The files of a space, for whoever may use them (spec: client, server, management).

    clients                            the file rules of the space hold, and the list of extensions
    functions, server SDK, management  no rule holds; private files have signed addresses for them, too

`params` is the object of an SDK call. What is wrong in it raises InvalidParameterError with the code
`ParamInvalid`; what the rules refuse raises FileDeniedError.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from runtime.errors import CallerError
from runtime.files.paths import (
    check_client_extensions,
    check_path,
    default_path,
    file_id_of,
    wanted_path,
)
from runtime.files.post_policy import ACCESS_KEY_ID, PostPolicy, sign_policy
from runtime.files.references import ids_named, reference_in, references_in
from runtime.files.refusals import param_invalid
from runtime.files.rules import Operation, PathRules
from runtime.messages import FileRecord
from runtime.ports import Clock, FileRecords
from runtime.services.file_addresses import FileAddresses
from runtime.services.file_changes import FileChanges, owner_of
from runtime.services.file_entries import FileEntries, FileEntry, first_there, told
from runtime.services.file_headers import checked_type
from runtime.services.file_spaces import FileCaller, FileSpace, FileSpaces

_UPLOAD_ID_BYTES = 16
_FILENAME_MAX = 1024
"""Characters; only its extension is used."""


class UploadSide(StrEnum):
    """Where the form goes, which decides what may be uploaded and how the host is written."""

    CLIENT = "client"
    """The SDK puts `https://` before the host; extensions are limited."""
    SERVER = "server"
    """The host has its scheme."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLimits:
    """The settings `file_*`: bytes, seconds, files of a page."""

    max_bytes: int
    sign_ttl_s: int
    url_ttl_s: int
    url_ttl_max_s: int
    page_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedUpload:
    """Of the management side. `url` None: a folder, there is nothing to upload."""

    file_id: str
    url: str | None
    overwrite: bool
    """Whether there is such a file."""


class FileService:
    """See the module. `policy_key`: of `post_policy.KEY_PURPOSE`."""

    def __init__(
        self,
        *,
        records: FileRecords,
        changes: FileChanges,
        spaces: FileSpaces,
        addresses: FileAddresses,
        policy_key: bytes,
        clock: Clock,
        limits: FileLimits,
    ) -> None:
        self._records = records
        self._changes = changes
        self._spaces = spaces
        self._addresses = addresses
        self._policy_key = policy_key
        self._clock = clock
        self._limits = limits
        self._entries = FileEntries(
            addresses, url_ttl_s=limits.url_ttl_s, url_ttl_max_s=limits.url_ttl_max_s
        )

    # --- the SDKs -------------------------------------------------------------------------------

    async def sign(
        self,
        caller: FileCaller,
        params: Mapping[str, Any],
        *,
        side: UploadSide,
        host: str | None = None,
    ) -> dict[str, Any]:
        """`generateProximalSign`: a form for one upload. Writes nothing, reads one record at most.

        `host`: where this caller reaches us, with its scheme, when it is not the usual place (functions). It
        counts where the size is told, as by whoever uploads: without it (`getUploadFileOptions`) the form is
        made for somebody else, who reaches the usual place.

        Raises CallerError `RequestContentLength.Exceeded` for a size beyond the bound."""
        filename = _text(params, "filename", _FILENAME_MAX)
        if not filename:
            raise param_invalid("filename", "filename must name the local file")
        size = params.get("size")
        self._check_size(size)
        path, record = await self._target(
            caller.space.space_id,
            filename,
            file_id=_text(params, "fileId"),
            target_path=_text(params, "targetPath"),
        )
        if side is UploadSide.CLIENT:
            check_client_extensions(filename, path)
        caller.check_write(path, owner_of(record, caller.user_id))
        policy = PostPolicy(
            upload_id=_new_upload_id(),
            space_id=caller.space.space_id,
            path=path,
            owner_id=caller.user_id,
            trusted=caller.trusted,
            max_bytes=self._limits.max_bytes,
            expires_ms=self._clock.now_ms() + self._limits.sign_ttl_s * 1000,
        )
        signed = sign_policy(self._policy_key, policy)
        return {
            "id": policy.file_id,
            "ossPath": policy.key,
            "host": self._host(side, host, for_others=size is None),
            "policy": signed.policy,
            "signature": signed.signature,
            "accessKeyId": ACCESS_KEY_ID,
            "cdnDomain": self._addresses.cdn_host,
        }

    async def report(self, caller: FileCaller, params: Mapping[str, Any]) -> dict[str, Any]:
        """`report`: what was uploaded becomes the file. Idempotent; see `FileChanges.report`."""
        file_id = _text(params, "id")
        content_type = _text(params, "contentType") or None
        if content_type is not None:
            content_type = checked_type(content_type, "")
        record = await self._changes.report(caller, file_id, content_type)
        return {"id": record.file_id}

    async def info(self, caller: FileCaller, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        """`info`: what there is of the named files, as far as the caller may read them. One read.

        Private files have an address that is good for `maxAge` seconds, at most the installation's bound."""
        references = references_in(params.get("id"))
        ttl_s = self._entries.ttl_s(params.get("maxAge"))
        space = caller.space
        named = [ids_named(space.space_id, each) for each in references]
        found = await self._records.read_many(space.space_id, [id_ for ids in named for id_ in ids])
        entries: dict[str, dict[str, Any]] = {}
        for ids in named:
            record = first_there(found, ids)
            if record is None or record.file_id in entries:
                continue
            rules = await _rules_in_turn(space, record)
            if caller.trusted or rules.may(
                Operation.READ, user_id=caller.user_id, owner_id=record.owner_id
            ):
                entry = self._entries.of(record, public=rules.is_public, ttl_s=ttl_s)
                entries[record.file_id] = told(entry)
        return list(entries.values())

    async def delete(self, caller: FileCaller, params: Mapping[str, Any]) -> dict[str, Any]:
        """`delete`: by id, URL or `{fileUrl}`."""
        reference = reference_in(params.get("id"))
        file_ids = ids_named(caller.space.space_id, reference)
        if not file_ids:
            raise param_invalid("id", "id is neither a file's id nor the URL of one of this space")
        record = await self._changes.delete(caller, file_ids, named=reference)
        return {"id": record.file_id}

    # --- the management side --------------------------------------------------------------------

    async def sign_put(
        self, space_id: str, *, content_type: str, filename: str, size: int, file_id: str = ""
    ) -> SignedUpload:
        """`DescribeFileUploadSignedUrl`. `size` is not held against what comes, but the bound is.

        A name that ends in a slash makes a folder, which needs no upload: folders are parts of paths."""
        space = await self._spaces.get(space_id)
        self._check_size(size)
        if filename.endswith("/"):
            path = check_path(filename.strip("/"), "Filename")
            return SignedUpload(file_id=file_id_of(space_id, f"{path}/"), url=None, overwrite=False)
        path, record = await self._target(space.space_id, filename, file_id=file_id, target_path="")
        url = self._addresses.put(
            space_id,
            path,
            content_type=checked_type(content_type, path),
            upload_id=_new_upload_id(),
            ttl_s=self._limits.sign_ttl_s,
        )
        return SignedUpload(
            file_id=file_id_of(space_id, path),
            url=url,
            overwrite=record is not None and record.blob is not None,
        )

    async def register(self, space_id: str, file_id: str) -> FileRecord:
        """`RegisterFile`: as `report`."""
        return await self._changes.report(await self._management(space_id), file_id)

    async def page(
        self,
        space_id: str,
        *,
        prefix: str = "",
        keyword: str = "",
        after: str | None = None,
        limit: int,
        url_ttl_s: int | None = None,
    ) -> Sequence[FileEntry]:
        """`ListFile`: by path, behind the path `after`, at most `limit` and the installation's bound. Fewer
        than that: there are no more."""
        space = await self._spaces.get(space_id)
        records = await self._records.page(
            space_id,
            prefix=prefix,
            keyword=keyword,
            after=after,
            limit=max(1, min(limit, self._limits.page_max)),
        )
        ttl_s = self._entries.ttl_s(url_ttl_s)
        return [await self._entry(space, record, ttl_s) for record in records]

    async def entry(
        self, space_id: str, reference: str, *, url_ttl_s: int | None = None
    ) -> FileEntry | None:
        """One file by id or URL; None when there is none."""
        space = await self._spaces.get(space_id)
        file_ids = ids_named(space_id, reference)
        found = await self._records.read_many(space_id, file_ids)
        record = first_there(found, file_ids)
        if record is None:
            return None
        return await self._entry(space, record, self._entries.ttl_s(url_ttl_s))

    async def remove(self, space_id: str, reference: str) -> FileRecord:
        """`DeleteFile`, by id or URL; returns what it was."""
        caller = await self._management(space_id)
        file_ids = ids_named(space_id, reference)
        if not file_ids:
            raise param_invalid("Id", "Id is neither a file's id nor the URL of one of this space")
        return await self._changes.delete(caller, file_ids, named=reference)

    def url_ttl_s(self, wanted: int | None) -> int:
        """For how many seconds addresses of private files are signed: as long as wanted, within the bound."""
        return self._entries.ttl_s(wanted)

    # --- parts ----------------------------------------------------------------------------------

    async def _target(
        self, space_id: str, filename: str, *, file_id: str, target_path: str
    ) -> tuple[str, FileRecord | None]:
        """The path of an upload and the record that is there. A path of our own choice is free."""
        if not file_id:
            unique = str(uuid.uuid4())
            return default_path(filename, target_path=target_path, unique=unique), None
        path = wanted_path(file_id)
        if path is not None:
            return path, await self._records.read(space_id, file_id_of(space_id, path))
        named = ids_named(space_id, file_id)
        found = await self._records.read_many(space_id, named) if named else {}
        record = first_there(found, named)
        if record is None:
            raise param_invalid(
                "fileId",
                "cloudPath (fileId) names no file: it is a wanted path that begins with a slash, as"
                " /pictures/a.png, or the id or URL of a file that is there",
            )
        return record.path, record

    def _check_size(self, size: Any) -> None:
        if isinstance(size, int | float) and size > self._limits.max_bytes:
            raise CallerError(
                "RequestContentLength.Exceeded",
                f"a file has at most {self._limits.max_bytes} bytes (YUNHAN_FILE_MAX_BYTES)",
            )

    def _host(self, side: UploadSide, host: str | None, *, for_others: bool) -> str:
        if side is UploadSide.CLIENT:
            return self._addresses.upload_host
        usual = self._addresses.server_host
        return usual if for_others else host or usual

    async def _entry(self, space: FileSpace, record: FileRecord, ttl_s: int) -> FileEntry:
        rules = await _rules_in_turn(space, record)
        return self._entries.of(record, public=rules.is_public, ttl_s=ttl_s)

    async def _management(self, space_id: str) -> FileCaller:
        return FileCaller(await self._spaces.get(space_id), None, trusted=True)


async def _rules_in_turn(space: FileSpace, record: FileRecord) -> PathRules:
    """What the rules say of one file of a list, after everybody else had a turn: a list with the worst rules
    takes long, and may not hold up others."""
    await asyncio.sleep(0)
    return space.file_rules.of_path(record.path)


def _new_upload_id() -> str:
    """Random, and without a hyphen: it is part of a blob's key (`file_uploads.blob_key`)."""
    return secrets.token_hex(_UPLOAD_ID_BYTES)


def _text(params: Mapping[str, Any], name: str, max_characters: int = 4096) -> str:
    """A parameter that is a text; empty when it is absent. Raises InvalidParameterError (`ParamInvalid`)."""
    value = params.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > max_characters:
        raise param_invalid(name, f"{name} must be a text of at most {max_characters} characters")
    if any("\ud800" <= each <= "\udfff" for each in value):
        raise param_invalid(name, f"{name} contains half of a character")
    return value
