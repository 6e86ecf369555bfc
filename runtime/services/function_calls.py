"""What a running function may call through `ctx.mpserverless`: other functions, the database, files,
its user, and HTTP and Redis by the worker.

The channel is the identity: the job that runs in the sandbox says which space and which user this is,
nothing that the sandbox sends does (design decision 4). A child runs on the same worker in a free slot or
its parent's (`runtime.slots`), never through the queue, so waiting parents cannot starve their children. Only
what nobody waits for, asynchronous jobs, goes into the queue.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from runtime.errors import OursError, TargetRefusedError, YunhanError
from runtime.ids import new_request_id
from runtime.messages import Job, Outcome, Principal, Source
from runtime.ports import HttpTraffic
from runtime.services import envelope, methods
from runtime.services.async_calls import AsyncCalls, require_depth
from runtime.services.directory import SpaceDirectory
from runtime.services.documents import DocumentService
from runtime.services.file_calls import FileCalls
from runtime.services.file_spaces import FileCaller
from runtime.services.http_proxy import HttpProxy
from runtime.services.invoke import JobFactory
from runtime.services.profiles import Profiles
from runtime.services.redis_cli import RedisCli
from runtime.services.sdk_errors import told_to_strangers
from runtime.slots import Slot
from sandbox.json_text import write_json

_log = structlog.get_logger(__name__)

RunChild = Callable[[Job, Slot], Awaitable[Outcome]]


class FunctionCalls:
    """Implements `runtime.execute.ServiceCalls`."""

    def __init__(
        self,
        *,
        directory: SpaceDirectory,
        jobs: JobFactory,
        http: HttpProxy,
        depth_max: int,
        async_calls: AsyncCalls,
        documents: DocumentService,
        profiles: Profiles,
        files: FileCalls,
        files_host: str,
        redis: RedisCli,
    ) -> None:
        """`files_host`: where sandboxes of this worker send the bytes of files."""
        self._directory = directory
        self._documents = documents
        self._profiles = profiles
        self._files = files
        self._files_host = files_host
        self._redis = redis
        self._jobs = jobs
        self._http = http
        self._depth_max = depth_max
        self._async_calls = async_calls
        self._run_child: RunChild | None = None

    def attach(self, run_child: RunChild) -> None:
        """The worker that runs children; it needs this object first."""
        self._run_child = run_child

    async def answer_function(
        self,
        job: Job,
        slot: Slot,
        method: str,
        params: bytes,
        *,
        user_id: str | None,
        note: Callable[[str], None],
        traffic: HttpTraffic,
    ) -> bytes:
        """The JSON text of an envelope; never raises but for cancellation."""
        request_id = new_request_id()
        error: YunhanError
        try:
            if method == methods.INVOKE:
                return await self._invoke(job, slot, params, user_id=user_id, request_id=request_id)
            if method == methods.HTTP_REQUEST:
                answer = await self._http.request(
                    job.space_id, methods.parse_params(params), traffic, egress=job.egress
                )
            else:
                answer = await self._serve(job, method, methods.parse_params(params), user_id)
            return envelope.success(answer, request_id=request_id)
        except TargetRefusedError as raised:
            note(raised.message)
            traffic.refused += 1
            error = raised.with_traceback(None)  # it would hold this frame and `params`, in a cycle
        except YunhanError as raised:
            error = raised.with_traceback(None)
        except Exception:  # noqa: BLE001 - a function gets an answer to every call
            _log.exception("service_call_failed", method=method, request_id=request_id)
            error = OursError(
                "InternalServerError", f"{method} failed on our side (request {request_id})"
            )
        if isinstance(error, OursError):
            _log.info(
                "service_call_refused",
                method=method,
                code=error.code,
                reason=error.message,
                request_id=request_id,
            )
        message = told_to_strangers(error, request_id)
        return envelope.failure(error.code, message, request_id=request_id)

    async def _serve(
        self, job: Job, method: str, params: Mapping[str, Any], user_id: str | None
    ) -> bytes:
        """The JSON text of `data`. Raises YunhanError."""
        principal = _acting(job, user_id)
        if method == methods.DATABASE:
            return await self._documents.trusted(job.space_id, params, user_id=principal.user_id)
        if self._files.serves(method):
            caller = FileCaller(
                await self._directory.get(job.space_id), principal.user_id, trusted=True
            )
            return await self._files.answer(caller, method, params, host=self._files_host)
        if method == methods.GET_PROFILE:
            return await self._profiles.tell(job.space_id, principal)
        if method == methods.REDIS:
            return await self._redis.run(job.space_id, params)
        raise methods.unserved(method)

    async def _invoke(
        self, parent: Job, slot: Slot, params: bytes, *, user_id: str | None, request_id: str
    ) -> bytes:
        require_depth(parent, self._depth_max)
        wanted = methods.parse_invoke(methods.parse_params(params))
        if wanted.asynchronous:
            return await self._submit(parent, wanted, user_id=user_id, request_id=request_id)
        if self._run_child is None:
            raise RuntimeError("attach was not called")
        space = await self._directory.get(parent.space_id)
        principal = _acting(parent, user_id)
        job = self._jobs.make(
            space,
            wanted.function,
            wanted.args,
            source=Source.FUNCTION,
            request_id=request_id,
            principal=principal,
            depth=parent.depth + 1,
            parent_request_id=parent.request_id,
        )
        return envelope.of_outcome(await self._run_child(job, slot))

    async def _submit(
        self,
        parent: Job,
        wanted: methods.InvokeParams,
        *,
        user_id: str | None,
        request_id: str,
    ) -> bytes:
        accepted = await self._async_calls.submit_from(
            parent,
            wanted.function,
            wanted.args,
            request_id=request_id,
            user_id=user_id,
            idempotency_key=wanted.idempotency_key,
        )
        answer = write_json({"jobId": accepted.job_id})
        return envelope.success(answer, request_id=request_id)


def _acting(job: Job, user_id: str | None) -> Principal:
    """For whom a call is made: the job's user, or whom the function named (`setUserId`), of whom nothing else
    is known."""
    if user_id is None or user_id == job.principal.user_id:
        return job.principal
    return Principal(user_id=user_id)
