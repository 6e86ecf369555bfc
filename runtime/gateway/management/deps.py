"""What the management API is built on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from runtime.gateway.bodies import BodyBudget
from runtime.gateway.package_addresses import PackageAddresses
from runtime.ports import Clock
from runtime.services.deployments import DeploymentService
from runtime.services.egress import EgressService
from runtime.services.function_env import FunctionEnvService
from runtime.services.functions import FunctionService
from runtime.services.http_triggers import HttpTriggerService
from runtime.services.interfaces import Invoker
from runtime.services.logs import LogService
from runtime.services.spaces import SpaceService
from runtime.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What this program is, for `doctor`."""

    version: str
    rung: str
    isolates: bool
    """Whether functions of different spaces may be trusted to the rung."""
    node_majors: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementDeps:
    """Use cases and facts that actions need."""

    settings: Settings
    access_keys: Mapping[str, str] = field(repr=False)
    """Access key id to secret."""
    clock: Clock
    public_url: str
    """Endpoint that clients reach, without a trailing slash."""
    addresses: PackageAddresses
    spaces: SpaceService
    functions: FunctionService
    function_env: FunctionEnvService
    egress: EgressService
    http_triggers: HttpTriggerService
    deployments: DeploymentService
    logs: LogService
    invoker: Invoker
    server: ServerFacts
    body_timeout_s: float
    budget: BodyBudget
