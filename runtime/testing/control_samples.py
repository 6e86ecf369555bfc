"""Spaces and deployments for tests of the control plane."""

from __future__ import annotations

from dataclasses import replace

from runtime.ids import new_deployment_id, new_space_id
from runtime.messages import Deployment, HttpTriggerConfig, Space

NOW_MS = 1_700_000_000_000


def sample_space(space_id: str | None = None, **changes: object) -> Space:
    """A valid space."""
    space = Space(
        space_id=space_id or new_space_id(),
        name="sample",
        desc="描述",
        client_secret_sealed=b"\x01\x00\xffclient",
        private_key_sealed=b"\x01\x00\xffprivate",
        public_key_pem="-----BEGIN PUBLIC KEY-----\n",
        created_ms=NOW_MS,
        modified_ms=NOW_MS,
    )
    return replace(space, **changes)  # type: ignore[arg-type]


def sample_space_at(domain: str, space_id: str | None = None, **changes: object) -> Space:
    """A valid space with this custom domain; empty for none."""
    triggers = HttpTriggerConfig(enabled=True, custom_domain=domain)
    return sample_space(space_id, http_triggers=triggers, **changes)


def sample_deployment(space_id: str, function: str = "hello", **changes: object) -> Deployment:
    """A valid deployment that waits for its upload."""
    deployment = Deployment(
        deployment_id=new_deployment_id(),
        space_id=space_id,
        function=function,
        version_no="1",
        created_ms=NOW_MS,
        modified_ms=NOW_MS,
    )
    return replace(deployment, **changes)  # type: ignore[arg-type]
