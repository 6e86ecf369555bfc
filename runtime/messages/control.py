"""Spaces, functions and deployments: what the control plane keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from runtime.messages.access import AccessConfig, FilesConfig


class EgressMode(StrEnum):
    """What holds beside the own rules of a space or a function."""

    INHERIT = "inherit"
    """What the level above may reach: of a function its space, of a space the installation."""
    NONE = "none"
    """Nothing: only what own rules (and for a space those of its functions) name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressConfig:
    """What a space or a function says about its network."""

    mode: EgressMode = EgressMode.INHERIT
    allow: tuple[str, ...] = ()
    """Rules as `sandbox.egress.rules` prints them, each once, in the order of their adding."""


EGRESS_INHERITED = EgressConfig()
"""Of a space or a function that says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncConfig:
    """What a function says about its asynchronous jobs (`AsyncTerms`); None = the installation's default.
    Jobs that were accepted before keep the terms that they were accepted with. Seconds."""

    attempts_max: int | None = None
    backoff_first_s: float | None = None
    backoff_longest_s: float | None = None
    retry_function: bool = False
    http: bool = False
    """Whether a request to its HTTP trigger may ask for a job instead of an answer."""


ASYNC_DEFAULTS = AsyncConfig()
"""Of a function that says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function of a space: its settings and the live deployment. Times in ms since 1970.

    `env_sealed` holds its environment variables, ciphertext (`services.sealed_env`); empty = none.
    """

    name: str
    desc: str = ""
    runtime: str = "nodejs14"
    timeout_s: int = 5
    memory_mb: int = 256
    concurrency: int = 1
    http_path: str = ""
    timer_cron: str = ""
    timer_payload: str = ""
    timer_set_ms: int = 0
    """When `timer_cron` was changed last: its ticks count from there."""
    env_sealed: bytes = field(default=b"", repr=False)
    egress: EgressConfig = EGRESS_INHERITED
    asynchronous: AsyncConfig = ASYNC_DEFAULTS
    created_ms: int = 0
    modified_ms: int = 0
    live_deployment_id: str | None = None
    live_digest: str | None = None


class SpaceStatus(StrEnum):
    """A paused space refuses calls; its administration goes on."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTriggerConfig:
    """What a space says about its HTTP triggers (spec: management API §5).

    `custom_domain` is a host name in lower case, empty for none; no two spaces have the same. Its
    certificate may be missing: a proxy before us may have it. The key is ciphertext (`runtime.sealing`).
    Bounds of bodies in bytes; None = the installation's default.
    """

    enabled: bool = False
    custom_domain: str = ""
    certificate_pem: str = ""
    certificate_key_sealed: bytes = field(default=b"", repr=False)
    request_max_bytes: int | None = None
    response_max_bytes: int | None = None


class PolicyName(StrEnum):
    """Kinds of access rules of a collection (spec: management API §5)."""

    PUBLICREAD = "PUBLICREAD"
    """Everybody reads, owners write."""
    PRIVATE = "PRIVATE"
    """Owners read and write."""
    ADMINWRITEONLY = "ADMINWRITEONLY"
    """Everybody reads; only functions and the management side write."""
    ADMINREADWRITEONLY = "ADMINREADWRITEONLY"
    """Only functions and the management side read and write."""
    EXTENDED = "EXTENDED"
    """A text of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionPolicy:
    """The access rule of one collection. `text` is JSON (`runtime.documents.rule_text`), of EXTENDED
    exactly as its author wrote it."""

    name: PolicyName
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseConfig:
    """What a space says about its database. Collections without a policy have that of the collection `*`;
    without that, clients are refused."""

    policies: Mapping[str, CollectionPolicy] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """A tenant with all its functions: the one aggregate of the control plane.

    Every change to a space or one of its functions replaces the whole value under the next
    `revision` (compare-and-set), so that a cache needs to compare one number.
    `client_secret_sealed` and `private_key_sealed` are ciphertext (see `runtime.sealing`).
    """

    space_id: str
    name: str
    desc: str = ""
    status: SpaceStatus = SpaceStatus.RUNNING
    client_secret_sealed: bytes = field(repr=False)
    private_key_sealed: bytes = field(repr=False)
    public_key_pem: str
    created_ms: int
    modified_ms: int
    revision: int = 1
    functions: Mapping[str, Function] = field(default_factory=dict)
    http_triggers: HttpTriggerConfig = field(default_factory=HttpTriggerConfig)
    egress: EgressConfig = EGRESS_INHERITED
    database: DatabaseConfig = field(default_factory=DatabaseConfig)
    files: FilesConfig = field(default_factory=FilesConfig)
    access: AccessConfig = field(default_factory=AccessConfig)


class DeploymentStatus(StrEnum):
    """States of a deployment; the last two are the original's filter values."""

    CREATED = "CREATED"
    UPLOADED = "UPLOADED"
    DEPLOY_SUCCESS = "DEPLOY_SUCCESS"
    DEPLOY_FAILED = "DEPLOY_FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One immutable code package of a function. `digest` is set once, with the upload."""

    deployment_id: str
    space_id: str
    function: str
    version_no: str
    status: DeploymentStatus = DeploymentStatus.CREATED
    digest: str | None = None
    size_bytes: int = 0
    failure: str = ""
    """Why the upload was refused; for people."""
    created_ms: int
    modified_ms: int
