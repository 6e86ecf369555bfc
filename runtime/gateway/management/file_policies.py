"""`UpdateServicePolicy` and `DescribeServicePolicy` of `ServiceName=file` (spec: management API §5).

`Policy` is the guide's one document for all files of the space, `{"file": {"<scope>": {...}}}`. There are
no collections and no presets: `CollectionName` is empty and `PolicyName` EXTENDED.
"""

from __future__ import annotations

from collections.abc import Mapping

from runtime.errors import InvalidParameterError
from runtime.gateway.management.parameters import Parameters
from runtime.messages import PolicyName
from runtime.services.file_policies import FilePolicyService

_NAMES = {PolicyName.EXTENDED.value: PolicyName.EXTENDED}


async def update_file_policy(
    policies: FilePolicyService, space_id: str, parameters: Parameters
) -> Mapping[str, str]:
    """An empty `Policy` brings the default rules back; it must be there."""
    _check_names(parameters)
    text = parameters.text("Policy")
    if text is None:
        raise InvalidParameterError(
            "Policy",
            "Policy is missing; an empty one brings the default rules back",
            code="MissingPolicy",
        )
    await policies.set(space_id, text)
    return await _answer(policies, space_id)


async def describe_file_policy(
    policies: FilePolicyService, space_id: str, parameters: Parameters
) -> Mapping[str, str]:
    """The document that counts, of a space without one the default rules."""
    _check_names(parameters)
    return await _answer(policies, space_id)


def _check_names(parameters: Parameters) -> None:
    parameters.one_of("PolicyName", _NAMES)
    if parameters.text("CollectionName"):
        raise InvalidParameterError(
            "CollectionName", "files have no collections; their rules are one document, in Policy"
        )


async def _answer(policies: FilePolicyService, space_id: str) -> Mapping[str, str]:
    return {
        "SpaceId": space_id,
        "ServiceName": "file",
        "CollectionName": "",
        "PolicyName": PolicyName.EXTENDED.value,
        "Policy": await policies.rules(space_id),
    }
