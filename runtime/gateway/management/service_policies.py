"""Actions on the access rules of a space (spec: management API §4 and §5, "Permissions"): of its database,
or of its files, as `ServiceName` says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.errors import InvalidParameterError
from runtime.gateway.management.database_policies import (
    describe_database_policy,
    update_database_policy,
)
from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.file_policies import describe_file_policy, update_file_policy
from runtime.gateway.management.parameters import Parameters

_DATABASE, _FILES = "db", "file"


async def update_service_policy(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """Answers as `describe_service_policy` does then."""
    space_id, service = parameters.needed("SpaceId"), _service(parameters)
    if service == _FILES:
        return await update_file_policy(deps.file_policies, space_id, parameters)
    return await update_database_policy(deps.database_policies, space_id, parameters)


async def describe_service_policy(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """What holds for clients."""
    space_id, service = parameters.needed("SpaceId"), _service(parameters)
    if service == _FILES:
        return await describe_file_policy(deps.file_policies, space_id, parameters)
    return await describe_database_policy(deps.database_policies, space_id, parameters)


def _service(parameters: Parameters) -> str:
    service = parameters.needed("ServiceName")
    if service not in {_DATABASE, _FILES}:
        raise InvalidParameterError(
            "ServiceName", f"ServiceName is db or file, not {service[:32]!r}"
        )
    return service


ACTIONS = {
    "UpdateServicePolicy": update_service_policy,
    "DescribeServicePolicy": describe_service_policy,
}
