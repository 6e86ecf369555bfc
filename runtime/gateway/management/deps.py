"""What the management API is built on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from runtime.gateway.bodies import BodyBudget
from runtime.gateway.door import Door
from runtime.gateway.package_addresses import PackageAddresses
from runtime.jobs.queries import JobQueries
from runtime.messages import DocumentAnswer
from runtime.ports import Clock, WorkerFacts
from runtime.services.async_calls import AsyncCalls
from runtime.services.cors import CorsService
from runtime.services.database_policies import DatabasePolicyService
from runtime.services.database_transfer import DatabaseTransfer
from runtime.services.deployments import DeploymentService
from runtime.services.egress import EgressService
from runtime.services.file_addresses import FileAddresses
from runtime.services.file_policies import FilePolicyService
from runtime.services.files import FileService
from runtime.services.function_async import FunctionAsyncService
from runtime.services.function_env import FunctionEnvService
from runtime.services.functions import FunctionService
from runtime.services.http_triggers import HttpTriggerService
from runtime.services.interfaces import Invoker
from runtime.services.logs import LogService
from runtime.services.platform_keys import PlatformKeyService
from runtime.services.revocations import RevocationService
from runtime.services.spaces import SpaceService
from runtime.services.timers import TimerService
from runtime.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What the installation's workers are together, for `doctor`."""

    version: str
    rung: str
    """With several workers: all of theirs, joined by commas; empty when none is there."""
    isolates: bool
    """Whether functions of different spaces may be trusted to the rung, on every worker."""
    node_majors: Sequence[int]
    """Those that every worker has."""
    workers: Sequence[WorkerFacts] = ()


class ManagedDocuments(Protocol):
    """The databases of spaces, without access rules."""

    async def manage(self, space_id: str, body: str) -> DocumentAnswer:
        """Carry out one command, JSON text. The space must be there. Raises CallerError or OursError."""


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
    function_async: FunctionAsyncService
    egress: EgressService
    http_triggers: HttpTriggerService
    documents: ManagedDocuments
    database_policies: DatabasePolicyService
    database_transfer: DatabaseTransfer
    files: FileService
    file_addresses: FileAddresses
    file_policies: FilePolicyService
    platform_keys: PlatformKeyService
    revocations: RevocationService
    cors: CorsService
    deployments: DeploymentService
    logs: LogService
    timers: TimerService
    invoker: Invoker
    async_calls: AsyncCalls
    jobs: JobQueries
    server: Callable[[], Awaitable[ServerFacts]]
    """As they are now. Raises UnavailableError."""
    problems: Callable[[], Awaitable[Mapping[str, str]]]
    """Which parts of the program that was asked do not work now, and why."""
    door: Door
    body_timeout_s: float
    budget: BodyBudget
