"""Reading and changing one deployment: the control store with the product's errors."""

from __future__ import annotations

from runtime.errors import CallerError, ConflictError, NotFoundError
from runtime.messages import Deployment, DeploymentStatus
from runtime.ports import ControlStore

WITH_CODE = (DeploymentStatus.UPLOADED, DeploymentStatus.DEPLOY_SUCCESS)
"""States in which a deployment's zip can be fetched and can go live."""


class DeploymentStore:
    """Deployments by id."""

    def __init__(self, control: ControlStore) -> None:
        self._control = control

    async def read(self, space_id: str, deployment_id: str) -> Deployment:
        """Raises NotFoundError (InvalidDeployment.NotFound)."""
        deployment = await self._control.read_deployment(space_id, deployment_id)
        if deployment is None:
            raise unknown(deployment_id)
        return deployment

    async def replace(self, deployment: Deployment, *, expected: DeploymentStatus) -> None:
        """Compare-and-set on the status: a deployment never goes back.

        Raises NotFoundError when it is gone, ConflictError (InvalidDeployment.Immutable) when another
        upload or deployment was faster."""
        try:
            await self._control.replace_deployment(deployment, expected=expected)
        except ConflictError:
            raise immutable(deployment.deployment_id) from None
        except NotFoundError:
            raise unknown(deployment.deployment_id) from None


def unknown(deployment_id: str) -> NotFoundError:
    """The error for an id that no deployment of the space has."""
    return NotFoundError(
        "InvalidDeployment.NotFound", f"there is no deployment {deployment_id[:64]} in this space"
    )


def failed(deployment: Deployment) -> CallerError:
    """The error for a deployment whose zip was refused."""
    return CallerError(
        "InvalidDeployment.Failed",
        f"the zip of deployment {deployment.deployment_id} was refused: {deployment.failure};"
        " create a new deployment",
    )


def immutable(deployment_id: str) -> ConflictError:
    """The error for a second package of one deployment."""
    return ConflictError(
        "InvalidDeployment.Immutable",
        f"deployment {deployment_id} has its code already; create a new deployment for other code",
    )
