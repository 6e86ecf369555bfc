"""The management API over memory adapters, and callers that sign in both schemes."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import secrets
import socket
import zipfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import web

from runtime.backends.control_memory import ControlMemory
from runtime.backends.files_object import open_file_store
from runtime.backends.ledger_memory import LedgerMemory
from runtime.backends.records_memory import RecordsMemory
from runtime.backends.timers_memory import TimersMemory
from runtime.gateway.bodies import BodyBudget
from runtime.gateway.management.api import management_handler
from runtime.gateway.management.deps import ManagementDeps, ServerFacts
from runtime.gateway.package_addresses import KEY_PURPOSE, PackageAddresses
from runtime.gateway.uploads import UploadDeps, upload_handlers
from runtime.job_ids import JobIds
from runtime.jobs.queries import JobQueries
from runtime.jobs.submit import AsyncSubmitter
from runtime.messages import Bill, InvocationRecord, Source, Space
from runtime.package.check import PackageLimits
from runtime.sealing import SecretBox
from runtime.services.async_calls import AsyncCalls
from runtime.services.async_terms import AsyncDefaults
from runtime.services.code_blobs import CodeBlobs
from runtime.services.cors import CorsService
from runtime.services.custom_domains import CustomDomains
from runtime.services.database_policies import DatabasePolicyService
from runtime.services.database_transfer import DatabaseTransfer, TransferLimits
from runtime.services.deployment_store import DeploymentStore
from runtime.services.deployments import DeploymentService
from runtime.services.directory import SpaceDirectory
from runtime.services.egress import EgressService
from runtime.services.file_policies import FilePolicyService
from runtime.services.function_async import FunctionAsyncService
from runtime.services.function_env import FunctionEnvService
from runtime.services.function_env_rules import EnvLimits
from runtime.services.functions import FunctionService
from runtime.services.http_triggers import HttpTriggerService
from runtime.services.invoke import JobFactory
from runtime.services.logs import LogService
from runtime.services.packages import PackageService, UploadedPackage
from runtime.services.platform_keys import PlatformKeyService
from runtime.services.revocations import RevocationService
from runtime.services.sealed_env import SealedEnv
from runtime.services.sealed_platform_keys import SealedPlatformKeys
from runtime.services.space_editor import SpaceEditor
from runtime.services.space_keys import seal_new_client_secret
from runtime.services.spaces import SpaceService
from runtime.services.timers import TimerService
from runtime.settings import Settings
from runtime.wiring.egress import egress_limits
from sandbox.api import LogLevel, LogLine, OutcomeKind
from tests.harness.async_jobs import ListQueue
from tests.harness.doors import open_door
from tests.harness.service_calls import memory_parts
from tests.unit.database_support import FakeDatabases
from tests.unit.scripted_invoker import ScriptedInvoker, Sink
from tests.unit.signed_requests import ACCESS_KEY, NOW_MS, ManualClock

SPACE_ID = "mp-00000000-0000-4000-8000-000000000001"
BOX = SecretBox(b"k" * 32)


class RecordingCache:
    """Remembers which spaces were invalidated."""

    def __init__(self) -> None:
        self.invalidated: list[str] = []

    def invalidate(self, space_id: str) -> None:
        self.invalidated.append(space_id)


@dataclass
class Bench:
    """All services over memory adapters."""

    settings: Settings = field(
        default_factory=lambda: Settings(public_url="https://gateway.example.com")
    )
    control: ControlMemory = field(default_factory=ControlMemory)
    records: RecordsMemory = field(default_factory=RecordsMemory)
    clock: ManualClock = field(default_factory=ManualClock)
    cache: RecordingCache = field(default_factory=RecordingCache)
    invoker: ScriptedInvoker = field(default_factory=ScriptedInvoker)

    def __post_init__(self) -> None:
        self.ledger = LedgerMemory()
        self.queue = ListQueue()
        self.job_ids = JobIds(b"k" * 32)
        self.submitter = AsyncSubmitter(ledger=self.ledger, queue=self.queue, clock=self.clock)
        self.directory = SpaceDirectory(
            store=self.control,
            box=BOX,
            clock=self.clock,
            max_age_s=-1.0,
            poll_s=3600.0,
            max_spaces=10,
        )
        self.files = open_file_store("memory:", Path("unused"))
        self.editor = SpaceEditor(control=self.control, cache=self.cache)
        self.blobs = CodeBlobs(control=self.control, files=self.files)
        self.databases = FakeDatabases()
        self.parts = memory_parts(self.directory, box=BOX, clock=self.clock, settings=self.settings)
        self.spaces = SpaceService(
            control=self.control,
            documents=self.databases,
            records=self.records,
            ledger=self.ledger,
            blobs=self.blobs,
            editor=self.editor,
            box=BOX,
            clock=self.clock,
            settings=self.settings,
            users=self.parts.users,
            files=self.parts.files.remains,
            redis=self.parts.redis,
        )
        self.functions = FunctionService(
            control=self.control,
            blobs=self.blobs,
            editor=self.editor,
            clock=self.clock,
            settings=self.settings,
        )
        self.function_env = FunctionEnvService(
            editor=self.editor,
            sealed=SealedEnv(BOX),
            clock=self.clock,
            limits=EnvLimits(
                variables_max=self.settings.function_env_max,
                max_bytes=self.settings.function_env_max_bytes,
            ),
        )
        self.function_async = FunctionAsyncService(
            editor=self.editor, clock=self.clock, defaults=AsyncDefaults()
        )
        self.async_calls = AsyncCalls(
            directory=self.directory,
            jobs=JobFactory(
                args_max_bytes=1000,
                timeout_sync_max_s=60,
                timeout_async_max_s=7200,
                queue_wait_s=30,
            ),
            submitter=self.submitter,
            ids=self.job_ids,
            records=Sink(),
            clock=self.clock,
            defaults=AsyncDefaults(),
            depth_max=3,
        )
        self.jobs = JobQueries(
            ledger=self.ledger,
            submitter=self.submitter,
            ids=self.job_ids,
            clock=self.clock,
            refresh=self.async_calls.refresh,
            keep_s=1e12,  # ids are made by the real clock
            backlog=self.queue.async_backlog,
            sleep=lambda _: asyncio.sleep(0),
        )
        self.egress = EgressService(
            editor=self.editor, clock=self.clock, limits=egress_limits(self.settings)
        )
        self.domains = CustomDomains(store=self.control, box=BOX)
        self.http_triggers = HttpTriggerService(
            editor=self.editor,
            domains=self.domains,
            box=BOX,
            clock=self.clock,
            settings=self.settings,
        )
        self.database_policies = DatabasePolicyService(editor=self.editor, clock=self.clock)
        self.database_transfer = DatabaseTransfer(
            documents=self.databases,
            editor=self.editor,
            limits=TransferLimits(documents=3, max_bytes=400, line_max_bytes=2000),
        )
        self.file_policies = FilePolicyService(editor=self.editor, clock=self.clock)
        self.deployments = DeploymentService(
            control=self.control, blobs=self.blobs, editor=self.editor, clock=self.clock
        )
        self.packages = PackageService(
            store=DeploymentStore(self.control),
            blobs=self.blobs,
            clock=self.clock,
            limits=PackageLimits(),
        )
        self.timer_states = TimersMemory()
        self.timers = TimerService(editor=self.editor, states=self.timer_states, clock=self.clock)
        self.logs = LogService(records=self.records, editor=self.editor)

    async def add_space(self, space_id: str = SPACE_ID, *, name: str = "compat") -> Space:
        """A space with keys, without the time that making an RSA pair takes."""
        space = Space(
            space_id=space_id,
            name=name,
            client_secret_sealed=seal_new_client_secret(BOX, space_id),
            private_key_sealed=b"",
            public_key_pem="",
            created_ms=self.clock.now_ms(),
            modified_ms=self.clock.now_ms(),
        )
        await self.control.create_space(space)
        return space

    def deps(self, public_url: str) -> ManagementDeps:
        return ManagementDeps(
            settings=self.settings,
            access_keys=dict([ACCESS_KEY]),
            clock=self.clock,
            public_url=public_url,
            addresses=self.addresses(public_url),
            spaces=self.spaces,
            functions=self.functions,
            function_env=self.function_env,
            function_async=self.function_async,
            egress=self.egress,
            http_triggers=self.http_triggers,
            documents=self.databases,
            database_policies=self.database_policies,
            database_transfer=self.database_transfer,
            files=self.parts.files.service,
            file_addresses=self.parts.files.addresses,
            file_policies=self.file_policies,
            platform_keys=PlatformKeyService(
                editor=self.editor, sealed=SealedPlatformKeys(BOX), clock=self.clock, apps_max=3
            ),
            revocations=RevocationService(
                editor=self.editor, clock=self.clock, token_ttl_s=600, revocations_max=3
            ),
            cors=CorsService(editor=self.editor, clock=self.clock, domains_max=3),
            deployments=self.deployments,
            logs=self.logs,
            timers=self.timers,
            invoker=self.invoker,
            async_calls=self.async_calls,
            jobs=self.jobs,
            server=_server,
            problems=_no_problems,
            door=open_door(),
            body_timeout_s=10.0,
            budget=BodyBudget(1 << 28),
        )

    def addresses(self, public_url: str) -> PackageAddresses:
        return PackageAddresses(
            public_url=public_url,
            key=BOX.derive(KEY_PURPOSE),
            clock=self.clock,
            ttl_s=self.settings.upload_url_ttl_s,
        )

    @asynccontextmanager
    async def serve(self, spool_dir: Path) -> AsyncIterator[str]:
        """The handlers on a real port, mounted as the gateway does; gives the base URL."""
        listener = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        handler = management_handler(self.deps(url))
        packages = upload_handlers(
            UploadDeps(
                door=open_door(),
                packages=self.packages,
                addresses=self.addresses(url),
                spool_dir=spool_dir,
                zip_max_bytes=self.settings.package_zip_max_bytes,
                in_flight_max=self.settings.uploads_in_flight_max,
                idle_timeout_s=10.0,
            )
        )
        app = web.Application()
        app.router.add_get("/", handler)
        app.router.add_post("/", handler)
        app.router.add_put("/oss/deployments/{deployment_id}.zip", packages.upload)
        app.router.add_get("/oss/deployments/{deployment_id}.zip", packages.download)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            yield url
        finally:
            await runner.cleanup()


def make_zip(files: Mapping[str, str] | None = None) -> bytes:
    """A code package; the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (files or {"index.js": "module.exports = async () => 1;"}).items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return buffer.getvalue()


def as_upload(directory: Path, content: bytes) -> UploadedPackage:
    """Bytes as a received upload."""
    path = directory / f"{secrets.token_hex(8)}.part"
    path.write_bytes(content)
    return UploadedPackage(
        path=path, digest=hashlib.sha256(content).hexdigest(), size_bytes=len(content)
    )


def load_fixture(name: str) -> Any:
    """A JSON file of tests/fixtures."""
    return json.loads((Path(__file__).parent.parent / "fixtures" / name).read_text())


def make_record(**changes: Any) -> InvocationRecord:
    """A record of a successful invocation, with changes."""
    record = InvocationRecord(
        request_id="r1",
        job_id="job-1",
        space_id=SPACE_ID,
        function="demo",
        deployment_id="dep-1",
        source=Source.CLIENT,
        started_ms=NOW_MS,
        kind=OutcomeKind.OK,
        fault=None,
        bill=Bill(run_ms=13.2),
        lines=(LogLine(level=LogLevel.INFO, time_ms=NOW_MS + 1, text="hi 1"),),
        lines_cut=False,
    )
    return replace(record, **changes)


async def _no_problems() -> Mapping[str, str]:
    return {}


async def _server() -> ServerFacts:
    return ServerFacts(version="0.0.1", rung="process", isolates=False, node_majors=(18, 24))
