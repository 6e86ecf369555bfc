"""The database of one space, as the command line asks for it through the management API."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.cli.client import ManagementClient
from runtime.cli.errors import CliError, RemoteError

TIMEOUT_S = 120.0
"""A page of a collection with large documents takes a while, an index over many, too."""
_TIME_MS = 60_000
_ID_INDEX = "_id_"
_TOO_MUCH = "InvalidParameter.Lines"


@dataclass(frozen=True, slots=True)
class Index:
    """What `createIndex` takes."""

    name: str
    key: Mapping[str, int]
    unique: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """The access rule of one collection."""

    collection: str
    name: str
    text: str


class SpaceDatabase:
    """Methods raise RemoteError and UnreachableError."""

    def __init__(self, client: ManagementClient, space_id: str) -> None:
        self._client = client
        self.space_id = space_id

    def run_text(self, command: str) -> tuple[int, Any]:
        """`affectedDocs` and `result` of one command, JSON text."""
        parameters = {"SpaceId": self.space_id, "Body": command}
        answer = self._client.call("RunDBCommand", parameters, timeout_s=TIMEOUT_S)
        return answer["AffectedDocs"], json.loads(answer["Result"])

    def collections(self) -> list[str]:
        """Names, sorted."""
        found = self._result(command="collections")
        return sorted(each["name"] if isinstance(each, dict) else str(each) for each in found)

    def create(self, collection: str) -> None:
        """A collection that is not there."""
        self._result(command="createCollection", name=collection)

    def drop(self, collection: str) -> None:
        """A collection with its documents and indexes."""
        self._result(command="drop", collection=collection)

    def count(self, collection: str) -> int:
        """All documents of a collection."""
        options = {"maxTimeMS": _TIME_MS}
        return int(self._result(command="count", collection=collection, query={}, options=options))

    def indexes(self, collection: str) -> list[Index]:
        """Without the one of `_id`, which every collection has."""
        found = self._result(command="listIndexes", collection=collection)
        return [
            Index(each["name"], each["key"], bool(each.get("unique")))
            for each in found
            if each["name"] != _ID_INDEX
        ]

    def create_index(self, collection: str, index: Index) -> None:
        """The same again changes nothing."""
        self._result(
            command="createIndex",
            collection=collection,
            field=dict(index.key),
            options={"name": index.name, "unique": index.unique, "maxTimeMS": _TIME_MS},
        )

    def lines(self, collection: str, *, after: str | None = None) -> Iterator[list[bytes]]:
        """The documents in the order of their ids, page by page; each line has its line end.

        Raises CliError when a page does not arrive as it was sent."""
        while True:
            parameters = {
                "SpaceId": self.space_id,
                "CollectionName": collection,
                "After": after or None,
            }
            page = self._client.call("YunhanExportDatabase", parameters, timeout_s=TIMEOUT_S)
            text = page["Lines"].encode()
            lines = text.splitlines(keepends=True)
            if hashlib.sha256(text).hexdigest() != page["Sha256"] or len(lines) != page["Count"]:
                raise CliError(
                    f"a page of {collection} did not arrive as it was sent.", code="PageDamaged"
                )
            yield lines
            after = page["After"]
            if not after:
                return

    def load(self, collection: str, lines: Sequence[bytes]) -> None:
        """Write documents, each a line with its end; one whose id is there is replaced. A page that is too
        large for the program goes in halves. Raises CliError when less arrived."""
        text = b"".join(lines)
        packed = base64.urlsafe_b64encode(gzip.compress(text, compresslevel=5, mtime=0))
        digest = hashlib.sha256(text).hexdigest()
        parameters = {
            "SpaceId": self.space_id,
            "CollectionName": collection,
            "Encoding": "gzip",
            "Sha256": digest,
            "Lines": packed.decode(),
        }
        try:
            done = self._client.call("YunhanImportDatabase", parameters, timeout_s=TIMEOUT_S)
        except RemoteError as error:
            if error.code != _TOO_MUCH or len(lines) == 1:
                raise
            middle = len(lines) // 2
            self.load(collection, lines[:middle])
            self.load(collection, lines[middle:])
            return
        if done["Count"] != len(lines):
            raise CliError(
                f"of {len(lines)} documents for {collection} {done['Count']} were written.",
                code="ImportIncomplete",
            )

    def policies(self) -> list[Policy]:
        """Of all collections that have one."""
        return [
            Policy(each["CollectionName"], each["PolicyName"], each["Policy"])
            for each in self._policies("DescribeServicePolicy")["Collections"]
        ]

    def policy(self, collection: str) -> Policy:
        """Of one collection; without one both texts are empty."""
        return _policy_of(self._policies("DescribeServicePolicy", CollectionName=collection))

    def document(self) -> str:
        """All rules as one document."""
        return str(self._policies("DescribeServicePolicy")["Policy"])

    def set_policy(self, policy: Policy) -> Policy:
        """Of one collection."""
        return _policy_of(
            self._policies(
                "UpdateServicePolicy",
                CollectionName=policy.collection,
                PolicyName=policy.name,
                Policy=policy.text or None,
            )
        )

    def set_document(self, text: str) -> int:
        """All rules at once, instead of the present ones. How many."""
        return len(self._policies("UpdateServicePolicy", Policy=text)["Collections"])

    def _result(self, **command: Any) -> Any:
        return self.run_text(json.dumps(command))[1]

    def _policies(self, action: str, **parameters: str | None) -> dict[str, Any]:
        common = {"SpaceId": self.space_id, "ServiceName": "db"}
        return self._client.call(action, {**common, **parameters})


def _policy_of(answer: Mapping[str, Any]) -> Policy:
    return Policy(answer["CollectionName"], answer["PolicyName"], answer["Policy"])
