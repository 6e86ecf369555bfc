"""`UpdateServicePolicy` and `DescribeServicePolicy` of `ServiceName=db` (spec: management API §4 and §5).

With `CollectionName` they are about one collection (`*`: those without a fitting rule). Without it, which
the original allows for Describe only, `Policy` is the guide's one document for all of them:
`{"db": {"<collection>": {...}}}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.documents.rule_documents import document_of_policies
from runtime.errors import InvalidParameterError
from runtime.gateway.management.parameters import Parameters
from runtime.messages import CollectionPolicy, PolicyName
from runtime.services.database_policies import DatabasePolicyService

_SERVICE = "db"
_NAMES = {name.value: name for name in PolicyName}


async def update_database_policy(
    service: DatabasePolicyService, space_id: str, parameters: Parameters
) -> Mapping[str, Any]:
    """`PolicyName` is one of five; EXTENDED needs `Policy`, for the others it does not count."""
    collection = parameters.text("CollectionName")
    name, text = parameters.one_of("PolicyName", _NAMES), parameters.text("Policy")
    if not collection:
        if name is not None and name is not PolicyName.EXTENDED:
            raise InvalidParameterError(
                "CollectionName", f"{name} needs a CollectionName", code="MissingCollectionName"
            )
        await service.set_document(space_id, parameters.needed("Policy"))
        return await _whole(service, space_id)
    if name is None:
        raise InvalidParameterError("PolicyName", "PolicyName is missing", code="MissingPolicyName")
    policy = await service.set(space_id, collection, name, text)
    return _row(space_id, collection, policy)


async def describe_database_policy(
    service: DatabasePolicyService, space_id: str, parameters: Parameters
) -> Mapping[str, Any]:
    """Of a collection without a rule of its own `Policy` and `PolicyName` are empty."""
    collection = parameters.text("CollectionName")
    if not collection:
        return await _whole(service, space_id)
    policies = await service.policies(space_id)
    return _row(space_id, collection, policies.get(collection))


async def _whole(service: DatabasePolicyService, space_id: str) -> dict[str, Any]:
    """`Collections` is our own: the document has no place for names of policies."""
    policies = await service.policies(space_id)
    return {
        "SpaceId": space_id,
        "ServiceName": _SERVICE,
        "CollectionName": "",
        "PolicyName": PolicyName.EXTENDED.value,
        "Policy": document_of_policies(policies),
        "Collections": [
            {"CollectionName": collection, "PolicyName": policy.name.value, "Policy": policy.text}
            for collection, policy in policies.items()
        ],
    }


def _row(space_id: str, collection: str, policy: CollectionPolicy | None) -> dict[str, str]:
    return {
        "SpaceId": space_id,
        "ServiceName": _SERVICE,
        "CollectionName": collection,
        "PolicyName": policy.name.value if policy else "",
        "Policy": policy.text if policy else "",
    }
