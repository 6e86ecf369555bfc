"""Deployments: made, listed, put live; an old one put live again is the rollback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import structlog

from runtime.errors import CallerError, ConflictError, NotFoundError
from runtime.ids import new_deployment_id
from runtime.messages import Deployment, DeploymentStatus, Function, Space
from runtime.ports import Clock, ControlStore
from runtime.services.code_blobs import CodeBlobs
from runtime.services.deployment_store import WITH_CODE, DeploymentStore, failed
from runtime.services.functions import function_of, with_function
from runtime.services.space_editor import SpaceEditor

_log = structlog.get_logger(__name__)


class DeploymentService:
    """Use cases of deployments. Unknown ids raise NotFoundError (InvalidDeployment.NotFound)."""

    def __init__(
        self, *, control: ControlStore, blobs: CodeBlobs, editor: SpaceEditor, clock: Clock
    ) -> None:
        self._control = control
        self._store = DeploymentStore(control)
        self._blobs = blobs
        self._editor = editor
        self._clock = clock

    async def create(self, space_id: str, function: str) -> Deployment:
        """An empty deployment that waits for its zip."""
        function_of(await self._editor.read(space_id), function)
        now_ms = self._clock.now_ms()
        deployment = Deployment(
            deployment_id=new_deployment_id(),
            space_id=space_id,
            function=function,
            version_no=str(now_ms),
            created_ms=now_ms,
            modified_ms=now_ms,
        )
        await self._control.create_deployment(deployment)
        try:  # deleting a space or a function leaves no deployment behind, not even this one
            function_of(await self._editor.read(space_id), function)
        except NotFoundError:
            await self._control.delete_deployments(space_id, function)
            raise
        return deployment

    async def page(
        self,
        space_id: str,
        function: str,
        *,
        status: DeploymentStatus | None = None,
        offset: int,
        limit: int,
    ) -> tuple[Sequence[Deployment], int]:
        """One page of a function's deployments, newest first, and the total."""
        function_of(await self._editor.read(space_id), function)
        return await self._control.list_deployments(
            space_id, function=function, status=status, offset=offset, limit=limit
        )

    async def live_of(self, space_id: str, function: Function) -> Deployment | None:
        """The deployment that calls run; None before the first."""
        if function.live_deployment_id is None:
            return None
        return await self._control.read_deployment(space_id, function.live_deployment_id)

    async def deploy(self, space_id: str, deployment_id: str) -> None:
        """Make a deployment the live one of its function; the next call runs it. Idempotent.

        Raises CallerError when it has no code (NotUploaded) or its code was refused (Failed)."""
        deployment = await self._store.read(space_id, deployment_id)
        if deployment.status is DeploymentStatus.DEPLOY_FAILED:
            raise failed(deployment)
        digest = deployment.digest if deployment.status in WITH_CODE else None
        if digest is None or not await self._blobs.exists(digest):
            raise CallerError(
                "InvalidDeployment.NotUploaded",
                f"deployment {deployment_id} has no code; PUT the zip to its UploadSignedUrl first",
            )
        await self._set_live(deployment)
        try:
            await self._mark_live(deployment)
        except NotFoundError:  # deleted meanwhile
            await self._take_back(deployment)
            raise
        _log.info(
            "function_deployed",
            space=space_id,
            function=deployment.function,
            deployment=deployment_id,
        )

    async def _set_live(self, deployment: Deployment) -> None:
        def change(space: Space) -> Space:
            function = function_of(space, deployment.function)
            if function.live_deployment_id == deployment.deployment_id:
                return space
            live = replace(
                function,
                live_deployment_id=deployment.deployment_id,
                live_digest=deployment.digest,
                modified_ms=self._clock.now_ms(),
            )
            return with_function(space, live)

        await self._editor.change(deployment.space_id, change)

    async def _mark_live(self, deployment: Deployment) -> None:
        """DEPLOY_SUCCESS means that it was live once. Raises NotFoundError when it is gone."""
        stored = await self._store.read(deployment.space_id, deployment.deployment_id)
        if stored.status is not DeploymentStatus.UPLOADED:
            return
        succeeded = replace(
            stored, status=DeploymentStatus.DEPLOY_SUCCESS, modified_ms=self._clock.now_ms()
        )
        try:
            await self._store.replace(succeeded, expected=DeploymentStatus.UPLOADED)
        except ConflictError:
            _log.debug("deployed_twice_at_once", deployment=deployment.deployment_id)

    async def _take_back(self, deployment: Deployment) -> None:
        """A deleted deployment must not stay live, not even in a function made anew under its name."""

        def change(space: Space) -> Space:
            function = space.functions.get(deployment.function)
            if function is None or function.live_deployment_id != deployment.deployment_id:
                return space
            return with_function(
                space, replace(function, live_deployment_id=None, live_digest=None)
            )

        await self._editor.change(deployment.space_id, change)
