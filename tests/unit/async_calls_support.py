"""One space with functions, and asynchronous calls over a queue that only keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from runtime.backends.control_memory import ControlMemory
from runtime.backends.ledger_memory import LedgerMemory
from runtime.job_ids import JobIds
from runtime.jobs.files import EVERYTHING_INLINE, JobFiles
from runtime.jobs.submit import AsyncSubmitter
from runtime.messages import (
    Function,
    Job,
    Source,
    Space,
)
from runtime.ports import HttpTraffic
from runtime.sealing import SecretBox
from runtime.services.async_calls import AsyncCalls
from runtime.services.async_terms import AsyncDefaults
from runtime.services.at_claim import AtClaim
from runtime.services.directory import SpaceDirectory
from runtime.services.function_calls import FunctionCalls
from runtime.services.invoke import JobFactory
from runtime.services.space_keys import client_secret_context
from runtime.slots import Slots
from sandbox.api import OutcomeKind
from tests.harness.async_jobs import ListQueue, Records, ToldExecutor, told
from tests.harness.clock import FakeClock
from tests.harness.service_calls import memory_parts

SPACE_ID = "mp-1"
BOX = SecretBox(b"k" * 32)
IDS = JobIds(b"i" * 32)


class Stand:
    """The services that make jobs and check them at the claim, around one space."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.control = ControlMemory()
        self.queue = ListQueue()
        self.records = Records()
        self.directory = SpaceDirectory(
            store=self.control, box=BOX, clock=self.clock, max_age_s=-1, poll_s=9, max_spaces=9
        )
        self.jobs = JobFactory(
            args_max_bytes=100, timeout_sync_max_s=60, timeout_async_max_s=7200, queue_wait_s=1
        )
        self.ledger = LedgerMemory()
        self.calls = AsyncCalls(
            directory=self.directory,
            jobs=self.jobs,
            submitter=AsyncSubmitter(ledger=self.ledger, queue=self.queue, clock=self.clock),
            ids=IDS,
            records=self.records,
            clock=self.clock,
            defaults=AsyncDefaults(),
            depth_max=3,
        )
        parts = memory_parts(self.directory, box=BOX, clock=self.clock)
        self.function_calls = FunctionCalls(
            directory=self.directory,
            jobs=self.jobs,
            http=None,  # type: ignore[arg-type]
            depth_max=3,
            async_calls=self.calls,
            documents=None,  # type: ignore[arg-type]
            profiles=parts.profiles,
            files=parts.files.calls,
            files_host="http://files.test/oss",
            redis=parts.redis,
        )

    async def store(self, **changes: Any) -> None:
        """The space, new or changed."""
        old = await self.control.read_space(SPACE_ID)
        if old is not None:
            await self.control.replace_space(replace(old, revision=old.revision + 1, **changes))
            return
        functions = {
            name: Function(
                name=name, timeout_s=7000, live_deployment_id="dep-1", live_digest="d" * 64
            )
            for name in ("f", "g")
        }
        space = Space(
            space_id=SPACE_ID,
            name="s",
            client_secret_sealed=BOX.seal(b"x", context=client_secret_context(SPACE_ID)),
            private_key_sealed=b"",
            public_key_pem="",
            created_ms=1,
            modified_ms=1,
            functions=functions,
        )
        await self.control.create_space(replace(space, **changes))

    async def submit(self, key: str | None = None) -> Job:
        await self.calls.submit(
            SPACE_ID,
            "f",
            b'{"a":1}',
            source=Source.SERVER,
            request_id="r-1",
            idempotency_key=key,
        )
        return self.job

    @property
    def job(self) -> Job:
        """The last one."""
        return self.queue.jobs[-1][0]

    async def invoke(self, parent: Job, params: object, **more: Any) -> dict[str, Any]:
        """As `ctx.mpserverless.function.invoke` does."""
        answer = await self.function_calls.answer_function(
            parent,
            await Slots(1).take(),
            "serverless.function.runtime.invoke",
            orjson.dumps(params),
            user_id=more.get("user_id"),
            note=lambda _: None,
            traffic=HttpTraffic(),
        )
        found: dict[str, Any] = orjson.loads(answer)
        return found

    def at_claim(self, files: JobFiles = EVERYTHING_INLINE) -> AtClaim:
        self.executor = ToldExecutor(told(OutcomeKind.OK))
        return AtClaim(
            executor=self.executor,
            directory=self.directory,
            records=self.records,
            clock=self.clock,
            files=files,
        )


async def new_stand() -> Stand:
    stand = Stand()
    await stand.store()
    return stand
