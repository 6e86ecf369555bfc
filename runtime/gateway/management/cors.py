"""Actions on the origins from which browsers may call a space (spec: management API, CORS)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.parameters import Parameters


async def add_cors_domain(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """`Domain`: a host name, with `*.` before it for all below it, a port or a scheme; or `*`. The same again
    gives the id that it has."""
    space_id, domain = parameters.needed("SpaceId"), parameters.needed("Domain")
    return {"DomainId": (await deps.cors.add(space_id, domain)).domain_id}


async def list_cors_domains(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """In the order of their adding. What every space allows (YUNHAN_CORS_ALWAYS) is not among them."""
    domains = await deps.cors.domains(parameters.needed("SpaceId"))
    return {"Domains": [{"Domain": each.domain, "DomainId": each.domain_id} for each in domains]}


async def delete_cors_domain(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """One that is not there is no error."""
    await deps.cors.delete(parameters.needed("SpaceId"), parameters.needed("DomainId"))
    return {}


ACTIONS = {
    "AddCorsDomain": add_cors_domain,
    "ListCorsDomains": list_cors_domains,
    "DeleteCorsDomain": delete_cors_domain,
}
