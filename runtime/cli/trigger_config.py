"""What a space says about its HTTP triggers, and at which addresses it answers."""

from __future__ import annotations

import json
from typing import Any

from runtime.cli.client import ManagementClient


def describe_triggers(client: ManagementClient, space_id: str) -> dict[str, Any]:
    """A space's HTTP triggers.

    `addresses` has `host`, `custom` (None without a custom domain) and `path`: what stands before a
    function's path. `certificate` is None, or has `subject`, `issuer`, `names`, `notBefore`, `notAfter` (ISO
    8601) and `fingerprint`. Bounds of bodies are in bytes.
    """
    answer = client.call("YunhanDescribeHttpTriggerConfig", {"SpaceId": space_id})
    endpoint, domain = answer["DefaultEndpoint"], answer["CustomDomain"]
    certificate = answer["CustomDomainCertificateInfo"]
    # A custom domain is served where the default one is, hence at the same port.
    _, colon, port = endpoint.partition(":")
    return {
        "spaceId": space_id,
        "enabled": bool(answer["EnableService"]),
        "addresses": {
            "host": f"https://{endpoint}",
            "custom": f"https://{domain}{colon}{port}" if domain else None,
            "path": answer["PathEndpoint"],
        },
        "customDomain": domain,
        "customDomainCname": answer["CustomDomainCname"],
        "certificate": json.loads(certificate) if certificate else None,
        "requestMaxBytes": int(answer["RequestMaxBytes"]),
        "responseMaxBytes": int(answer["ResponseMaxBytes"]),
        "requestMaxBytesDefault": int(answer["RequestMaxBytesDefault"]),
        "responseMaxBytesDefault": int(answer["ResponseMaxBytesDefault"]),
        "bodyMaxBytes": int(answer["BodyMaxBytes"]),
    }


def address_fields(triggers: dict[str, Any], path: str) -> dict[str, str]:
    """The addresses of one function's `path`, named for people; those that there are not are left out."""
    addresses = triggers["addresses"]
    named = {
        "Address": addresses["host"],
        "Custom domain": addresses["custom"],
        "Path form": addresses["path"],
    }
    return {name: f"{address}{path}" for name, address in named.items() if address}


def off_note(space: str) -> str:
    """For people who set a path that nothing answers; `space` is what they call it."""
    return f"The HTTP triggers of this space are off; `yunhan trigger on {space}` switches them on."
