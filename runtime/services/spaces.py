"""Spaces: create, read, change, delete, keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from runtime.errors import CallerError, UnavailableError
from runtime.ids import new_space_id
from runtime.jobs.files import EVERYTHING_INLINE, JobFiles
from runtime.messages import Space, SpaceStatus
from runtime.ports import Clock, ControlStore, Ledger, RecordStore, SpaceDocuments, UserRecords
from runtime.sealing import SecretBox
from runtime.services.code_blobs import CodeBlobs
from runtime.services.naming import check_desc, check_space_name
from runtime.services.space_editor import SpaceEditor
from runtime.services.space_keys import (
    SpaceKeys,
    make_key_pair,
    open_keys,
    seal_new_client_secret,
)
from runtime.settings import Settings

_log = structlog.get_logger(__name__)


class Remains(Protocol):
    """What a part keeps of spaces."""

    async def remove_space(self, space_id: str) -> None:
        """All of one space's. Idempotent. Raises UnavailableError."""


class SpaceService:
    """Use cases of spaces. Unknown ids raise NotFoundError (InvalidSpaceId.NotFound)."""

    def __init__(
        self,
        *,
        control: ControlStore,
        documents: SpaceDocuments,
        records: RecordStore,
        ledger: Ledger,
        blobs: CodeBlobs,
        editor: SpaceEditor,
        box: SecretBox,
        clock: Clock,
        settings: Settings,
        users: UserRecords,
        files: Remains,
        redis: Remains,
        job_files: JobFiles = EVERYTHING_INLINE,
    ) -> None:
        """`files` and `redis`: what a space has there."""
        self._job_files = job_files
        self._users = users
        self._files = files
        self._redis = redis
        self._control = control
        self._documents = documents
        self._records = records
        self._ledger = ledger
        self._blobs = blobs
        self._editor = editor
        self._box = box
        self._clock = clock
        self._settings = settings

    async def create(self, name: str, desc: str = "") -> Space:
        """A running space with new keys. Names need not be unique.

        Raises InvalidParameterError, CallerError when there are too many spaces."""
        check_space_name(name, self._settings)
        check_desc(desc, self._settings)
        _, total = await self._control.list_spaces(offset=0, limit=1)
        if total >= self._settings.spaces_max:
            raise CallerError(
                "SpaceLimitExceeded",
                f"there are {total} spaces, the limit of this installation (YUNHAN_SPACES_MAX)",
            )
        space_id = new_space_id()
        pair = await make_key_pair(self._box, space_id)
        now_ms = self._clock.now_ms()
        space = Space(
            space_id=space_id,
            name=name,
            desc=desc,
            client_secret_sealed=seal_new_client_secret(self._box, space_id),
            private_key_sealed=pair.private_sealed,
            public_key_pem=pair.public_pem,
            created_ms=now_ms,
            modified_ms=now_ms,
        )
        await self._control.create_space(space)
        return space

    async def get(self, space_id: str) -> Space:
        """The stored space."""
        return await self._editor.read(space_id)

    async def page(
        self, *, space_ids: Sequence[str] = (), offset: int, limit: int
    ) -> tuple[Sequence[Space], int]:
        """One page, newest first, and the total. `space_ids` empty = all."""
        return await self._control.list_spaces(space_ids=space_ids, offset=offset, limit=limit)

    async def update(
        self, space_id: str, *, desc: str | None = None, status: SpaceStatus | None = None
    ) -> Space:
        """Change what is given. A paused space refuses calls, its administration goes on."""
        if desc is not None:
            check_desc(desc, self._settings)

        def change(space: Space) -> Space:
            changed = replace(
                space,
                desc=space.desc if desc is None else desc,
                status=space.status if status is None else status,
            )
            if changed == space:
                return space
            return replace(changed, modified_ms=self._clock.now_ms())

        return await self._editor.change(space_id, change)

    async def delete(self, space_id: str) -> None:
        """The space with its functions, deployments, code, keys, records, logs, asynchronous jobs, users and
        files.

        Pauses first, so that calls stop and a crash leaves a space that refuses calls and can be deleted
        again. The second round takes what was made while the first one ran; whoever makes a deployment
        later sees that the space is gone (`DeploymentService.create`).
        """
        await self.update(space_id, status=SpaceStatus.PAUSED)
        await self._documents.drop_space(space_id)
        await self._records.delete_space(space_id)
        await self._ledger.delete_space(space_id)
        await self._job_files.remove_space(space_id)
        await self._users.delete_space(space_id)
        await self._files.remove_space(space_id)
        for _ in range(2):
            digests = await self._blobs.claimed_by(space_id)
            await self._control.delete_space(space_id)
            self._editor.forget(space_id)
            await self._blobs.drop_unused(digests)
        await self._delete_late(space_id)
        _log.info("space_deleted", space=space_id)

    def open_keys(self, space: Space) -> SpaceKeys:
        """The space's keys in the clear. Raises SealingError under a wrong master key."""
        return open_keys(self._box, space)

    async def reset_private_key(self, space_id: str) -> None:
        """A new RSA pair; requests signed with the old private key are refused from now on."""
        await self.get(space_id)
        pair = await make_key_pair(self._box, space_id)
        now_ms = self._clock.now_ms()
        await self._editor.change(
            space_id,
            lambda space: replace(
                space,
                private_key_sealed=pair.private_sealed,
                public_key_pem=pair.public_pem,
                modified_ms=now_ms,
            ),
        )
        _log.info("space_private_key_reset", space=space_id)

    async def _delete_late(self, space_id: str) -> None:
        """What calls, logins and uploads left that ended meanwhile, and what only calls could reach. The
        space is gone already: a part that does not answer now keeps what it has; nobody can ask for it."""
        parts = {
            "records": self._records.delete_space,
            "users": self._users.delete_space,
            "files": self._files.remove_space,
            "redis": self._redis.remove_space,
        }
        for part, remove in parts.items():
            try:
                await remove(space_id)
            except UnavailableError as error:
                _log.warning("late_not_deleted", part=part, space=space_id, error=error.message)
