"""Actions on the HTTP triggers of a space (spec: management API §4 and §5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.parameters import Parameters
from runtime.messages import Space
from runtime.services.http_triggers import HttpTriggerChange
from runtime.settings import Settings
from runtime.tls.certificates import certificate_info
from runtime.trigger.addresses import PATH_FORM

_HTTPS_PORT = 443


async def update_http_trigger_config(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """Absent parameters keep what is, empty ones remove it; `EnableService` has to be there."""
    parameters.needed("EnableService")
    space = await deps.http_triggers.update(
        parameters.needed("SpaceId"),
        HttpTriggerChange(
            enabled=parameters.boolean("EnableService"),
            custom_domain=parameters.text("CustomDomain"),
            certificate=parameters.text("CustomDomainCertificate"),
            private_key=parameters.text("CustomDomainPrivateKey"),
        ),
    )
    return _row(deps, space)


async def describe_http_trigger_config(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """`DefaultEndpoint` is a host name (and port) without scheme."""
    return _row(deps, await deps.http_triggers.get(parameters.needed("SpaceId")))


async def yunhan_describe_http_trigger_config(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """The same and what the original lacks: the path form and the bounds in force."""
    return _full_row(deps, await deps.http_triggers.get(parameters.needed("SpaceId")))


async def yunhan_update_http_trigger_limits(
    deps: ManagementDeps, parameters: Parameters
) -> Mapping[str, Any]:
    """Bounds of bodies in bytes; absent keeps, 0 goes back to the default."""
    space = await deps.http_triggers.set_limits(
        parameters.needed("SpaceId"),
        request_max_bytes=parameters.integer("RequestMaxBytes"),
        response_max_bytes=parameters.integer("ResponseMaxBytes"),
    )
    return _full_row(deps, space)


def default_endpoint(settings: Settings, space_id: str) -> str:
    """Host and, unless it is 443, port at which a space's triggers answer over HTTPS."""
    host = f"{space_id}.{settings.trigger_domain}"
    address = settings.https_address
    port = settings.trigger_public_port or (address[1] if address else _HTTPS_PORT)
    return host if port == _HTTPS_PORT else f"{host}:{port}"


def _row(deps: ManagementDeps, space: Space) -> dict[str, Any]:
    config = space.http_triggers
    return {
        "EnableService": config.enabled,
        "DefaultEndpoint": default_endpoint(deps.settings, space.space_id),
        "CustomDomain": config.custom_domain,
        "CustomDomainCname": (
            f"{space.space_id}.{deps.settings.trigger_domain}" if config.custom_domain else ""
        ),
        "CustomDomainCertificateInfo": _certificate(config.certificate_pem),
    }


def _full_row(deps: ManagementDeps, space: Space) -> dict[str, Any]:
    config, settings = space.http_triggers, deps.settings
    return {
        **_row(deps, space),
        "PathEndpoint": f"{deps.public_url}{PATH_FORM}{space.space_id}",
        "RequestMaxBytes": config.request_max_bytes or settings.trigger_request_max_bytes,
        "ResponseMaxBytes": config.response_max_bytes or settings.trigger_response_max_bytes,
        "RequestMaxBytesDefault": settings.trigger_request_max_bytes,
        "ResponseMaxBytesDefault": settings.trigger_response_max_bytes,
        "BodyMaxBytes": settings.trigger_body_max_bytes,
    }


def _certificate(chain_pem: str) -> str:
    """JSON text for people and scripts; empty without a certificate."""
    if not chain_pem:
        return ""
    info = certificate_info(chain_pem.encode())
    return orjson.dumps(
        {
            "subject": info.subject,
            "issuer": info.issuer,
            "names": info.names,
            "notBefore": info.not_before.isoformat(),
            "notAfter": info.not_after.isoformat(),
            "fingerprint": info.fingerprint,
        }
    ).decode()


ACTIONS = {
    "UpdateHttpTriggerConfig": update_http_trigger_config,
    "DescribeHttpTriggerConfig": describe_http_trigger_config,
    "YunhanDescribeHttpTriggerConfig": yunhan_describe_http_trigger_config,
    "YunhanUpdateHttpTriggerLimits": yunhan_update_http_trigger_limits,
}
