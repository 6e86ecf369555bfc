"""Actions on the access rules of a space (spec: management API §4 and §5, "Permissions").

With `CollectionName` they are about one collection (`*`: those without a fitting rule). Without it, which
the original allows for Describe only, `Policy` is the guide's one document for all of them:
`{"db": {"<collection>": {...}}}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.documents.rule_documents import document_of_policies
from runtime.errors import CallerError, InvalidParameterError
from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.parameters import Parameters
from runtime.messages import CollectionPolicy, PolicyName

_DATABASE, _FILES = "db", "file"
_NAMES = {name.value: name for name in PolicyName}


async def update_service_policy(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """`PolicyName` is one of five; EXTENDED needs `Policy`, for the others it does not count."""
    space_id, service = parameters.needed("SpaceId"), _service(parameters)
    collection = parameters.text("CollectionName")
    name, text = parameters.one_of("PolicyName", _NAMES), parameters.text("Policy")
    if not collection:
        if name is not None and name is not PolicyName.EXTENDED:
            raise InvalidParameterError(
                "CollectionName", f"{name} needs a CollectionName", code="MissingCollectionName"
            )
        await deps.database_policies.set_document(space_id, parameters.needed("Policy"))
        return await _whole(deps, space_id, service)
    if name is None:
        raise InvalidParameterError("PolicyName", "PolicyName is missing", code="MissingPolicyName")
    policy = await deps.database_policies.set(space_id, collection, name, text)
    return _row(space_id, service, collection, policy)


async def describe_service_policy(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """Of a collection without a rule of its own `Policy` and `PolicyName` are empty."""
    space_id, service = parameters.needed("SpaceId"), _service(parameters)
    collection = parameters.text("CollectionName")
    if not collection:
        return await _whole(deps, space_id, service)
    policies = await deps.database_policies.policies(space_id)
    return _row(space_id, service, collection, policies.get(collection))


async def _whole(deps: ManagementDeps, space_id: str, service: str) -> dict[str, Any]:
    """`Collections` is our own: the document has no place for names of policies."""
    policies = await deps.database_policies.policies(space_id)
    return {
        "SpaceId": space_id,
        "ServiceName": service,
        "CollectionName": "",
        "PolicyName": PolicyName.EXTENDED.value,
        "Policy": document_of_policies(policies),
        "Collections": [
            {"CollectionName": collection, "PolicyName": policy.name.value, "Policy": policy.text}
            for collection, policy in policies.items()
        ],
    }


def _row(
    space_id: str, service: str, collection: str, policy: CollectionPolicy | None
) -> dict[str, str]:
    return {
        "SpaceId": space_id,
        "ServiceName": service,
        "CollectionName": collection,
        "PolicyName": policy.name.value if policy else "",
        "Policy": policy.text if policy else "",
    }


def _service(parameters: Parameters) -> str:
    """Raises CallerError for one that has no rules here."""
    service = parameters.needed("ServiceName")
    if service == _FILES:
        raise CallerError(
            "ServiceNotAvailable", "rules of files are not available yet in this version of Yunhan"
        )
    if service != _DATABASE:
        raise InvalidParameterError(
            "ServiceName", f"ServiceName is db or file, not {service[:32]!r}"
        )
    return service


ACTIONS = {
    "UpdateServicePolicy": update_service_policy,
    "DescribeServicePolicy": describe_service_policy,
}
