"""The files of one space, as the command line asks for them through the management API."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.cli.client import PAGE_SIZE, PAGES_MAX, ManagementClient

_FILE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SERVICE = "file"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a space. `modified` is ISO 8601, `size` bytes, `md5` hex or empty when it is not known."""

    path: str
    file_id: str
    size: int
    content_type: str
    modified: str
    url: str
    md5: str = ""

    def row(self) -> dict[str, Any]:
        """As scripts get it."""
        return {
            "path": self.path,
            "id": self.file_id,
            "size": self.size,
            "type": self.content_type,
            "modified": self.modified,
            "url": self.url,
        }


def reference(text: str) -> str:
    """How the management API is told of a file that people name by path, id or URL."""
    if text.startswith(("http://", "https://", "/")) or _FILE_ID.fullmatch(text):
        return text
    return f"/{text}"


class SpaceFiles:
    """Methods raise RemoteError, UnreachableError and CliError."""

    def __init__(self, client: ManagementClient, space_id: str) -> None:
        self._client = client
        self.space_id = space_id

    def put(
        self, local: Path, path: str, content_type: str, *, progress: Callable[[int], None]
    ) -> StoredFile:
        """Make the bytes of `local` the file at `path`, in place of the one that may be there."""
        signed = self._call(
            "DescribeFileUploadSignedUrl",
            Filename=local.name,
            FileId=f"/{path}",
            ContentType=content_type,
            Size=local.stat().st_size,
        )
        self._client.upload(
            str(signed["SignUrl"]), local, progress=progress, content_type=content_type
        )
        self._call("RegisterFile", Id=str(signed["Id"]))
        return self.find(str(signed["Id"]))[0]

    def find(self, name: str) -> tuple[StoredFile, str]:
        """The file and an address from which its bytes can be had for a while."""
        answer = self._call("YunhanDescribeFile", FileId=reference(name))
        return _stored(answer), str(answer["DownloadSignedUrl"])

    def download(self, address: str, *, write: Callable[[bytes], None]) -> None:
        """Of `find`. `write` must tell its own troubles as CliError."""
        self._client.download(address, write=write)

    def listed(self, prefix: str = "") -> Iterator[StoredFile]:
        """Files whose path begins with `prefix`, in the order of their paths."""
        token: str | None = None
        for _ in range(PAGES_MAX):
            page = self._call(
                "ListFile", Prefix=prefix or None, PageSize=PAGE_SIZE, NextToken=token
            )
            yield from map(_stored, page["DataList"])
            token = page["Paginator"].get("NextToken")
            if not token:
                return

    def remove(self, name: str) -> None:
        """A file that is not there is an error."""
        self._call("DeleteFile", Id=reference(name))

    def rules(self) -> str:
        """The rule document that counts: the usual one where none was set."""
        return str(self._call("DescribeServicePolicy", ServiceName=_SERVICE)["Policy"])

    def set_rules(self, text: str) -> None:
        """Replace the rule document."""
        self._call("UpdateServicePolicy", ServiceName=_SERVICE, PolicyName="EXTENDED", Policy=text)

    def _call(self, action: str, **parameters: str | int | None) -> dict[str, Any]:
        return self._client.call(action, {"SpaceId": self.space_id, **parameters})


def _stored(row: dict[str, Any]) -> StoredFile:
    return StoredFile(
        path=str(row["Path"]),
        file_id=str(row["Id"]),
        size=int(row["Size"]),
        content_type=str(row["Type"]),
        modified=str(row["GmtModified"]),
        url=str(row["Url"]),
        md5=str(row.get("Md5", "")),
    )
