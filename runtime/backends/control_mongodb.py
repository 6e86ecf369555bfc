"""Control plane in a document database: collections `spaces`, `deployments`, `token_keys` and
`shared`.

Every query is an equality or a short range of an indexed field (or the id), so that it stays fast on the
embedded server, whose `limit` does not end a scan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog
from pymongo import DESCENDING, IndexModel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from runtime.backends.control_codec import (
    CUSTOM_DOMAIN,
    TIMER_COUNT,
    custom_domain_from_document,
    deployment_from_document,
    deployment_to_document,
    space_from_document,
    space_to_document,
    timers_from_document,
    token_key_from_document,
    token_key_to_document,
)
from runtime.backends.documents_mongodb import Document, translated
from runtime.errors import ConflictError, DomainTakenError, NotFoundError, OursError
from runtime.messages import Deployment, DeploymentStatus, Space
from runtime.ports import ControlStore, CustomDomain, Timer, TokenKey

_log = structlog.get_logger(__name__)

_IDS_AT_ONCE = 50
"""Ids in one `$in`: the embedded server's cost grows with the square (1,000 ids: 740 ms, 100: 12 ms)."""

_NEWEST_FIRST = [("created_ms", DESCENDING), ("_id", DESCENDING)]

_HAS_DOMAIN: Document = {CUSTOM_DOMAIN: {"$gt": ""}}
"""Which spaces the index of custom domains holds. The query must say the same words: the embedded server
takes a partial index only then, else it scans (1,000 spaces: 20 ms instead of 1 ms)."""

_HAS_TIMERS: Document = {TIMER_COUNT: {"$gt": 0}}
"""Likewise for the index of spaces with timers."""


class ControlMongodb(ControlStore):
    """See `ControlStore`. Call `ensure_indexes` once per program start."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._spaces = database["spaces"]
        self._deployments = database["deployments"]
        self._token_keys = database["token_keys"]
        self._shared = database["shared"]

    async def ensure_indexes(self) -> None:
        """Make what is missing. Idempotent. Raises UnavailableError."""
        with translated("make indexes of the control plane"):
            await self._spaces.create_indexes(
                [
                    IndexModel(_NEWEST_FIRST),
                    IndexModel(
                        [(CUSTOM_DOMAIN, 1)], unique=True, partialFilterExpression=_HAS_DOMAIN
                    ),
                    IndexModel([(TIMER_COUNT, 1)], partialFilterExpression=_HAS_TIMERS),
                ]
            )
            await self._deployments.create_indexes(
                [
                    IndexModel([("space_id", 1), ("function", 1), ("created_ms", DESCENDING)]),
                    IndexModel([("digest", 1)]),
                ]
            )

    async def create_space(self, space: Space) -> None:
        with translated(f"create space {space.space_id}"):
            try:
                await self._spaces.insert_one(space_to_document(space))
            except DuplicateKeyError:
                # Not read from the error: where both the id and the domain are there, the embedded
                # server names the domain.
                domain = space.http_triggers.custom_domain
                if domain and not await self._has_space(space.space_id):
                    raise DomainTakenError(domain) from None
                raise ConflictError(
                    "AlreadyExists", f"space {space.space_id} exists already"
                ) from None

    async def read_space(self, space_id: str) -> Space | None:
        with translated(f"read space {space_id}"):
            document = await self._spaces.find_one({"_id": space_id})
        return space_from_document(document) if document else None

    async def replace_space(self, space: Space) -> None:
        with translated(f"replace space {space.space_id}"):
            try:
                result = await self._spaces.replace_one(
                    {"_id": space.space_id, "revision": space.revision - 1},
                    space_to_document(space),
                )
            except DuplicateKeyError:  # a replacement keeps its id: only the domain is left
                raise DomainTakenError(space.http_triggers.custom_domain) from None
            if result.matched_count:
                return
            if not await self._has_space(space.space_id):
                raise NotFoundError("SpaceNotFound", f"space {space.space_id} does not exist")
        raise ConflictError("Conflict", f"space {space.space_id} was changed meanwhile")

    async def custom_domains(self) -> Sequence[CustomDomain]:
        with translated("read custom domains"):
            documents = await self._spaces.find(
                _HAS_DOMAIN, {CUSTOM_DOMAIN: 1, "revision": 1}
            ).to_list()
        return [custom_domain_from_document(each) for each in documents]

    async def timers(self) -> Sequence[Timer]:
        with translated("read timers"):
            documents = await self._spaces.find(_HAS_TIMERS, {"timers": 1}).to_list()
        found: list[Timer] = []
        for document in documents:
            try:
                found += timers_from_document(document)
            except OursError as error:  # the other spaces keep theirs
                _log.error("timers_unreadable", space=document["_id"], error=str(error))
        return found

    async def delete_space(self, space_id: str) -> None:
        with translated(f"delete space {space_id}"):
            await self._deployments.delete_many({"space_id": space_id})
            await self._spaces.delete_one({"_id": space_id})

    async def list_spaces(
        self, *, space_ids: Sequence[str] = (), offset: int, limit: int
    ) -> tuple[Sequence[Space], int]:
        wanted: Document = {"_id": {"$in": list(space_ids)}} if space_ids else {}
        with translated("list spaces"):
            total = await self._spaces.count_documents(wanted)
            if limit < 1:  # 0 means "no limit" to the driver
                return [], total
            page = self._spaces.find(wanted).sort(_NEWEST_FIRST).skip(offset).limit(limit)
            documents = await page.to_list()
        return [space_from_document(each) for each in documents], total

    async def revisions(self, space_ids: Sequence[str]) -> Mapping[str, int]:
        found: dict[str, int] = {}
        with translated("compare revisions of spaces"):
            for start in range(0, len(space_ids), _IDS_AT_ONCE):
                ids = list(space_ids[start : start + _IDS_AT_ONCE])
                documents = self._spaces.find({"_id": {"$in": ids}}, {"revision": 1})
                found |= {each["_id"]: int(each["revision"]) async for each in documents}
        return found

    async def create_deployment(self, deployment: Deployment) -> None:
        with translated(f"create deployment {deployment.deployment_id}"):
            try:
                await self._deployments.insert_one(deployment_to_document(deployment))
            except DuplicateKeyError:
                raise ConflictError(
                    "AlreadyExists", f"deployment {deployment.deployment_id} exists already"
                ) from None

    async def read_deployment(self, space_id: str, deployment_id: str) -> Deployment | None:
        with translated(f"read deployment {deployment_id}"):
            document = await self._deployments.find_one(
                {"_id": deployment_id, "space_id": space_id}
            )
        return deployment_from_document(document) if document else None

    async def replace_deployment(
        self, deployment: Deployment, *, expected: DeploymentStatus
    ) -> None:
        which = {"_id": deployment.deployment_id, "space_id": deployment.space_id}
        with translated(f"replace deployment {deployment.deployment_id}"):
            result = await self._deployments.replace_one(
                {**which, "status": expected.value}, deployment_to_document(deployment)
            )
            if result.matched_count:
                return
            if await self._deployments.find_one(which, {"_id": 1}) is None:
                raise NotFoundError(
                    "DeploymentNotFound", f"deployment {deployment.deployment_id} does not exist"
                )
        raise ConflictError(
            "Conflict", f"deployment {deployment.deployment_id} is not {expected.value} any more"
        )

    async def list_deployments(
        self,
        space_id: str,
        *,
        function: str | None = None,
        status: DeploymentStatus | None = None,
        offset: int,
        limit: int,
    ) -> tuple[Sequence[Deployment], int]:
        wanted: Document = {"space_id": space_id}
        if function is not None:
            wanted["function"] = function
        if status is not None:
            wanted["status"] = status.value
        with translated(f"list deployments of space {space_id}"):
            total = await self._deployments.count_documents(wanted)
            if limit < 1:
                return [], total
            page = self._deployments.find(wanted).sort(_NEWEST_FIRST).skip(offset).limit(limit)
            documents = await page.to_list()
        return [deployment_from_document(each) for each in documents], total

    async def delete_deployments(self, space_id: str, function: str) -> None:
        with translated(f"delete deployments of {function} in space {space_id}"):
            await self._deployments.delete_many({"space_id": space_id, "function": function})

    async def digest_in_use(self, digest: str) -> bool:
        with translated(f"look for deployments of code {digest}"):
            return await self._deployments.find_one({"digest": digest}, {"_id": 1}) is not None

    async def token_keys(self) -> Sequence[TokenKey]:
        with translated("read token keys"):
            documents = await self._token_keys.find().sort(_NEWEST_FIRST).to_list()
        return [token_key_from_document(each) for each in documents]

    async def add_token_key(self, key: TokenKey) -> None:
        with translated(f"add token key {key.key_id}"):
            try:
                await self._token_keys.insert_one(token_key_to_document(key))
            except DuplicateKeyError:
                return

    async def delete_token_key(self, key_id: str) -> None:
        with translated(f"delete token key {key_id}"):
            await self._token_keys.delete_one({"_id": key_id})

    async def keep_first(self, name: str, sealed: bytes) -> bytes:
        with translated(f"keep the shared value {name}"):
            try:
                await self._shared.insert_one({"_id": name, "sealed": sealed})
            except DuplicateKeyError:
                there = await self._shared.find_one({"_id": name})
                assert there is not None  # nothing deletes it
                return bytes(there["sealed"])
        return sealed

    async def _has_space(self, space_id: str) -> bool:
        return await self._spaces.find_one({"_id": space_id}, {"_id": 1}) is not None
