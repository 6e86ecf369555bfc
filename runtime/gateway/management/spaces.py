"""Actions on spaces (spec: management API §4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from runtime.gateway.management.answers import iso
from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.parameters import Parameters
from runtime.messages import Space, SpaceStatus

_STATUSES = {status.value: status for status in SpaceStatus}


async def create_space(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """A running space; DescribeSpaceClientConfig tells its keys."""
    space = await deps.spaces.create(parameters.needed("Name"), parameters.text("Desc") or "")
    return {"SpaceId": space.space_id}


async def list_space(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """Newest first. `Count` is the total, `GmtCreate` the time of the answer."""
    return await _page(deps, parameters, _short)


async def describe_spaces(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """As ListSpace, with other fields."""
    return await _page(deps, parameters, _long)


async def update_space(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """`Status` PAUSED stops calls, RUNNING lets them go on."""
    await deps.spaces.update(
        parameters.needed("SpaceId"),
        desc=parameters.text("Desc"),
        status=parameters.one_of("Status", _STATUSES),
    )
    return {}


async def delete_space(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """With everything in it."""
    await deps.spaces.delete(parameters.needed("SpaceId"))
    return {}


async def describe_space_client_config(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """The keys of a space; the private one only with `Detail=true`."""
    space = await deps.spaces.get(parameters.needed("SpaceId"))
    detail = parameters.boolean("Detail")
    keys = deps.spaces.open_keys(space)
    answer = {
        "SpaceId": space.space_id,
        "Name": space.name,
        "ApiKey": keys.client_secret,
        "Endpoint": deps.public_url,
        "FileUploadEndpoint": urlsplit(deps.public_url).netloc,
    }
    return {**answer, "PrivateKey": keys.private_key_pem} if detail else answer


async def reset_server_secret(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """A new private key; the old one is refused from now on."""
    await deps.spaces.reset_private_key(parameters.needed("SpaceId"))
    return {}


async def _page(
    deps: ManagementDeps, parameters: Parameters, row: Callable[[Space], Mapping[str, Any]]
) -> Mapping[str, Any]:
    page = parameters.page()
    spaces, total = await deps.spaces.page(
        space_ids=parameters.texts("SpaceIds"), offset=page.offset, limit=page.size
    )
    return {
        "Count": total,
        "GmtCreate": iso(deps.clock.now_ms()),
        "Spaces": [row(space) for space in spaces],
    }


def _short(space: Space) -> Mapping[str, Any]:
    return {
        "SpaceId": space.space_id,
        "Name": space.name,
        "Desc": space.desc,
        "Status": space.status.value,
        "GmtCreate": space.created_ms,
        "GmtLastAccess": space.modified_ms,  # calls leave no trace on the space
    }


def _long(space: Space) -> Mapping[str, Any]:
    """The original's fields for plans and orders are there, and say that there is nothing to pay."""
    return {
        "SpaceId": space.space_id,
        "Name": space.name,
        "Description": space.desc,
        "ServiceStatus": space.status.value,
        "GmtCreate": iso(space.created_ms),
        "GmtModified": iso(space.modified_ms),
        "AutoRenew": False,
        "ChargeType": "Free",
        "EmasWorkspaceId": "",
        "InstanceId": space.space_id,
        "OrderType": "",
        "PackageEndDate": "",
        "PackageStartDate": "",
        "PackageStatus": "NORMAL",
        "RenewDuration": "",
        "SpecCode": "SelfHosted",
    }


ACTIONS = {
    "CreateSpace": create_space,
    "ListSpace": list_space,
    "DescribeSpaces": describe_spaces,
    "UpdateSpace": update_space,
    "DeleteSpace": delete_space,
    "DescribeSpaceClientConfig": describe_space_client_config,
    "ResetServerSecret": reset_server_secret,
}
