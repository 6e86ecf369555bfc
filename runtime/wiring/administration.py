"""The management API, and the addresses of code packages that it signs."""

from __future__ import annotations

from aiohttp.typedefs import Handler

from runtime.data_dir import AccessKey
from runtime.gateway.bodies import BodyBudget
from runtime.gateway.door import Door
from runtime.gateway.health import HealthApi
from runtime.gateway.management.api import management_handler
from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.package_addresses import KEY_PURPOSE, PackageAddresses
from runtime.gateway.uploads import UploadDeps, UploadHandlers, upload_handlers
from runtime.jobs.queries import JobQueries
from runtime.services.code_blobs import CodeBlobs
from runtime.services.cors import CorsService
from runtime.services.custom_domains import CustomDomains
from runtime.services.database_policies import DatabasePolicyService
from runtime.services.database_transfer import DatabaseTransfer
from runtime.services.deployment_store import DeploymentStore
from runtime.services.deployments import DeploymentService
from runtime.services.egress import EgressService
from runtime.services.file_policies import FilePolicyService
from runtime.services.function_async import FunctionAsyncService
from runtime.services.function_env import FunctionEnvService
from runtime.services.functions import FunctionService
from runtime.services.http_triggers import HttpTriggerService
from runtime.services.invoke import InvokeService
from runtime.services.logs import LogService
from runtime.services.packages import PackageService
from runtime.services.platform_keys import PlatformKeyService
from runtime.services.revocations import RevocationService
from runtime.services.sealed_env import SealedEnv
from runtime.services.sealed_platform_keys import SealedPlatformKeys
from runtime.services.space_editor import SpaceEditor
from runtime.services.spaces import SpaceService
from runtime.services.timers import TimerService
from runtime.wiring.common import Common
from runtime.wiring.egress import egress_limits
from runtime.wiring.limits import (
    async_defaults,
    env_limits,
    package_limits,
    transfer_limits,
)
from runtime.wiring.server_facts import server_facts


def build_administration(
    common: Common,
    *,
    health: HealthApi,
    invoker: InvokeService,
    blobs: CodeBlobs,
    domains: CustomDomains,
    budget: BodyBudget,
    door: Door,
    access_key: AccessKey,
) -> tuple[Handler, UploadHandlers]:
    """The management API and the addresses of code packages."""
    settings, adapters = common.settings, common.adapters
    addresses = PackageAddresses(
        public_url=settings.endpoint,
        key=common.box.derive(KEY_PURPOSE),
        clock=common.clock,
        ttl_s=settings.upload_url_ttl_s,
    )
    editor = SpaceEditor(control=adapters.control, cache=common.directory)
    packages = PackageService(
        store=DeploymentStore(adapters.control),
        blobs=blobs,
        clock=common.clock,
        limits=package_limits(settings),
    )
    management = management_handler(
        ManagementDeps(
            settings=settings,
            access_keys={access_key.key_id: access_key.secret},
            clock=common.clock,
            public_url=settings.endpoint,
            addresses=addresses,
            spaces=SpaceService(
                control=adapters.control,
                documents=adapters.documents,
                records=adapters.records,
                ledger=adapters.ledger,
                blobs=blobs,
                editor=editor,
                box=common.box,
                clock=common.clock,
                settings=settings,
                job_files=common.job_files,
                users=adapters.users,
                files=common.files.remains,
                redis=common.redis,
            ),
            functions=FunctionService(
                control=adapters.control,
                blobs=blobs,
                editor=editor,
                clock=common.clock,
                settings=settings,
            ),
            function_env=FunctionEnvService(
                editor=editor,
                sealed=SealedEnv(common.box),
                clock=common.clock,
                limits=env_limits(settings),
            ),
            function_async=FunctionAsyncService(
                editor=editor, clock=common.clock, defaults=async_defaults(settings)
            ),
            egress=EgressService(editor=editor, clock=common.clock, limits=egress_limits(settings)),
            http_triggers=HttpTriggerService(
                editor=editor,
                domains=domains,
                box=common.box,
                clock=common.clock,
                settings=settings,
            ),
            documents=common.documents,
            database_policies=DatabasePolicyService(editor=editor, clock=common.clock),
            database_transfer=DatabaseTransfer(
                documents=adapters.documents, editor=editor, limits=transfer_limits(settings)
            ),
            files=common.files.service,
            file_addresses=common.files.addresses,
            file_policies=FilePolicyService(editor=editor, clock=common.clock),
            platform_keys=PlatformKeyService(
                editor=editor,
                sealed=SealedPlatformKeys(common.box),
                clock=common.clock,
                apps_max=settings.platform_apps_max,
            ),
            revocations=RevocationService(
                editor=editor,
                clock=common.clock,
                token_ttl_s=settings.token_ttl_s,
                revocations_max=settings.revocations_max,
            ),
            cors=CorsService(
                editor=editor, clock=common.clock, domains_max=settings.cors_domains_max
            ),
            deployments=DeploymentService(
                control=adapters.control, blobs=blobs, editor=editor, clock=common.clock
            ),
            logs=LogService(records=adapters.records, editor=editor, flush=common.records.flush),
            timers=TimerService(editor=editor, states=adapters.timers, clock=common.clock),
            invoker=invoker,
            async_calls=common.async_calls,
            jobs=JobQueries(
                ledger=adapters.ledger,
                submitter=common.submitter,
                ids=common.job_ids,
                clock=adapters.job_clock,
                refresh=common.async_calls.refresh,
                keep_s=settings.async_keep_s,
                files=common.job_files,
                backlog=adapters.queue.async_backlog,
            ),
            server=lambda: server_facts(adapters.roster, common.clock),
            problems=health.problems,
            door=door,
            body_timeout_s=settings.body_timeout_s,
            budget=budget,
        )
    )
    uploads = upload_handlers(
        UploadDeps(
            packages=packages,
            addresses=addresses,
            door=door,
            spool_dir=common.spool,
            zip_max_bytes=settings.package_zip_max_bytes,
            in_flight_max=settings.uploads_in_flight_max,
            idle_timeout_s=settings.body_timeout_s,
        )
    )
    return management, uploads
