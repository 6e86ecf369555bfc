"""The code of a deployment: taken once, checked, kept, given back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from runtime.errors import CallerError, NotFoundError
from runtime.messages import Deployment, DeploymentStatus
from runtime.package.check import PackageError, PackageLimits, check_package
from runtime.ports import Clock
from runtime.services.code_blobs import CodeBlobs
from runtime.services.deployment_store import WITH_CODE, DeploymentStore, failed, immutable
from runtime.threads import run_to_end


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedPackage:
    """An uploaded zip in a temporary file; `digest` is the SHA-256 of its bytes in hex."""

    path: Path
    digest: str
    size_bytes: int


class PackageService:
    """Use cases of code packages. Unknown ids raise NotFoundError (InvalidDeployment.NotFound)."""

    def __init__(
        self, *, store: DeploymentStore, blobs: CodeBlobs, clock: Clock, limits: PackageLimits
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._limits = limits

    async def read(self, space_id: str, deployment_id: str) -> tuple[int, AsyncIterator[bytes]]:
        """Size and bytes of a deployment's zip. Raises NotFoundError when there is none."""
        deployment = await self._store.read(space_id, deployment_id)
        digest = deployment.digest if deployment.status in WITH_CODE else None
        size = await self._blobs.size(digest) if digest else None
        if digest is None or size is None:
            raise NotFoundError(
                "InvalidDeployment.NotUploaded", f"deployment {deployment_id} has no code"
            )
        return size, self._blobs.stream(digest)

    async def accept(self, space_id: str, deployment_id: str, package: UploadedPackage) -> None:
        """Check and keep a deployment's zip; the running code is not touched.

        The same bytes may come again; other bytes raise ConflictError, because a deployment is
        immutable. A zip that breaks a rule fails the deployment for good and raises PackageError.
        After an error of ours, or a cancellation, the same upload may be repeated.
        """
        deployment = await self._store.read(space_id, deployment_id)
        if deployment.status is DeploymentStatus.CREATED:
            await self._check(deployment, package)
        try:
            async with self._blobs.claiming(package.digest):
                await self._keep(space_id, deployment_id, package)
        except CallerError:
            await self._blobs.drop_unused([package.digest])
            raise

    async def _check(self, deployment: Deployment, package: UploadedPackage) -> None:
        try:
            await run_to_end(
                partial(
                    check_package, package.path, function=deployment.function, limits=self._limits
                )
            )
        except PackageError as error:
            refused = replace(
                deployment,
                status=DeploymentStatus.DEPLOY_FAILED,
                failure=error.message,
                modified_ms=self._clock.now_ms(),
            )
            await self._store.replace(refused, expected=DeploymentStatus.CREATED)
            raise

    async def _keep(self, space_id: str, deployment_id: str, package: UploadedPackage) -> None:
        """With the digest's lock held: claim it, store the blob, then say that it is there."""
        deployment = await self._store.read(space_id, deployment_id)
        if deployment.status is not DeploymentStatus.CREATED:
            await self._keep_again(deployment, package)
            return
        claimed = replace(deployment, digest=package.digest, size_bytes=package.size_bytes)
        await self._store.replace(claimed, expected=DeploymentStatus.CREATED)
        await self._blobs.store(package.digest, package.path)
        now_ms = self._clock.now_ms()
        uploaded = replace(
            claimed,
            status=DeploymentStatus.UPLOADED,
            version_no=str(now_ms),  # the upload's time, as in the original (functions (b))
            modified_ms=now_ms,
        )
        await self._store.replace(uploaded, expected=DeploymentStatus.CREATED)

    async def _keep_again(self, deployment: Deployment, package: UploadedPackage) -> None:
        if deployment.status is DeploymentStatus.DEPLOY_FAILED:
            raise failed(deployment)
        if deployment.digest != package.digest:
            raise immutable(deployment.deployment_id)
        if not await self._blobs.exists(package.digest):
            await self._blobs.store(package.digest, package.path)
