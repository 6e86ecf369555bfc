"""Actions on deployments (spec: management API §4 and §5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.gateway.management.answers import iso
from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.parameters import Parameters
from runtime.messages import Deployment, DeploymentStatus
from runtime.services.deployment_store import WITH_CODE

_STATUSES = {status.value: status for status in DeploymentStatus}


async def create_function_deployment(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """First step of a deployment: an id, and the address to PUT the zip to."""
    space_id = parameters.needed("SpaceId")
    deployment = await deps.deployments.create(space_id, parameters.needed("Name"))
    return {
        "DeploymentId": deployment.deployment_id,
        "UploadSignedUrl": deps.addresses.upload(space_id, deployment.deployment_id),
    }


async def deploy_function(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """Last step: the uploaded zip goes live before the answer. An older deployment: the rollback."""
    await deps.deployments.deploy(parameters.needed("SpaceId"), parameters.needed("DeploymentId"))
    return {}


async def list_function_deployment(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """Newest first; `Status.Label` says why a zip was refused."""
    page = parameters.page()
    deployments, total = await deps.deployments.page(
        parameters.needed("SpaceId"),
        parameters.needed("Name"),
        status=parameters.one_of("Status", _STATUSES),
        offset=page.offset,
        limit=page.size,
    )
    rows = [{**deployment_row(deps, each), "Status": _status(each)} for each in deployments]
    return {"DataList": rows, "Paginator": page.paginator(total)}


def deployment_row(deps: ManagementDeps, deployment: Deployment) -> dict[str, Any]:
    """A deployment as every action shows it; the address is empty while there is no code."""
    address = ""
    if deployment.status in WITH_CODE:
        address = deps.addresses.download(deployment.space_id, deployment.deployment_id)
    return {
        "DeploymentId": deployment.deployment_id,
        "VersionNo": deployment.version_no,
        "CreatedAt": iso(deployment.created_ms),
        "ModifiedAt": iso(deployment.modified_ms),
        "DownloadSignedUrl": address,
    }


def _status(deployment: Deployment) -> dict[str, str]:
    status = deployment.status.value
    return {"Status": status, "Label": deployment.failure or status}


ACTIONS = {
    "CreateFunctionDeployment": create_function_deployment,
    "DeployFunction": deploy_function,
    "ListFunctionDeployment": list_function_deployment,
}
