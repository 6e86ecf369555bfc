"""Large arguments and results of asynchronous jobs: in the file store, with a reference in job and outcome.

    jobs/{space}/{job id}/args                    before the job is accepted
    jobs/{space}/{job id}/result-{request id}     before its end is written; of the attempt with this id

What a crash or a refusal leaves behind is found by `sweep`: a job id tells when it was made, and a job that
has no entry in the ledger so long after that neither waits nor can be asked about any more. So bytes live as
long as the entry of their job, and a job that still waits in the queue, unknown to the ledger, keeps its own.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import structlog

from runtime.errors import NotFoundError, OursError, UnavailableError
from runtime.job_ids import JobIds
from runtime.jobs.known import known_jobs
from runtime.messages import Job, Outcome, StoredBytes
from runtime.ports import FileStore, Ledger
from runtime.threads import run_to_end

_log = structlog.get_logger(__name__)

_PREFIX = "jobs"
_KEY = re.compile(r"jobs/(?P<space>[^/]+)/(?P<job>job-[0-9a-f]{28,44})/[^/]+")


class JobBytesError(OursError):
    """The file store answers, but does not have what a job or its outcome refers to."""

    def __init__(self, message: str) -> None:
        super().__init__("JobBytesMissing", message)


class JobFiles:
    """Moves bytes between messages and the file store. All that reach the store raise UnavailableError when
    it does not answer."""

    def __init__(self, files: FileStore | None, *, inline_max_bytes: int, spool: Path) -> None:
        """Up to `inline_max_bytes` stay in the message. `spool`: a folder for what is under way."""
        self._files = files
        self._inline_max_bytes = inline_max_bytes
        self._spool = spool

    # --- arguments ------------------------------------------------------------------------------

    def too_large(self, job: Job) -> bool:
        """Whether its arguments go into the store."""
        return self._files is not None and len(job.args) > self._inline_max_bytes

    async def put_args(self, job: Job) -> Job:
        """The job as it is enqueued. Idempotent by job id; a small one is returned as it is."""
        if not self.too_large(job):
            return job
        stored = await self._put(f"{_folder(job)}/args", job.args)
        return replace(job, args=b"", args_stored=stored)

    async def reach(self, job: Job) -> None:
        """Raises UnavailableError when its arguments could not be read now, because of the store."""
        if job.args_stored is not None:
            await self._store.size(job.args_stored.key)

    async def with_args(self, job: Job) -> Job:
        """The job as it is run. Raises JobBytesError when its arguments are lost."""
        if job.args_stored is None:
            return job
        args = await self._get(job.args_stored, f"the arguments of job {job.job_id}")
        return replace(job, args=args, args_stored=None)

    async def remove_args(self, job: Job) -> None:
        """Of a job that was not accepted. Never raises but for cancellation: `sweep` finds them, too."""
        if job.args_stored is not None:
            await self._remove(job.args_stored)

    # --- results --------------------------------------------------------------------------------

    async def put_result(self, job: Job, outcome: Outcome) -> Outcome:
        """The outcome as the ledger keeps it. Idempotent by the attempt's request id."""
        value = outcome.value
        if self._files is None or value is None or len(value) <= self._inline_max_bytes:
            return outcome
        stored = await self._put(f"{_folder(job)}/result-{outcome.request_id}", value)
        return replace(outcome, value=None, value_stored=stored)

    async def with_result(self, outcome: Outcome) -> Outcome:
        """The outcome as it was made. Raises JobBytesError when its result is lost."""
        if outcome.value_stored is None:
            return outcome
        value = await self._get(outcome.value_stored, f"the result of {outcome.request_id}")
        return replace(outcome, value=value, value_stored=None)

    async def remove_result(self, outcome: Outcome) -> None:
        """Of an end that came too late. As `remove_args`."""
        if outcome.value_stored is not None:
            await self._remove(outcome.value_stored)

    # --- removal --------------------------------------------------------------------------------

    async def remove_space(self, space_id: str) -> None:
        """All of a space. Idempotent."""
        await self._remove_below(f"{_PREFIX}/{space_id}")

    async def remove_job(self, space_id: str, job_id: str) -> None:
        """All of a job whose entry is gone. Idempotent."""
        await self._remove_below(f"{_PREFIX}/{space_id}/{job_id}")

    async def sweep(self, ledger: Ledger, *, made_before_ms: int) -> int:
        """Delete what belongs to jobs that were made before and have no entry. Returns how many blobs went.

        Memory grows with the number of blobs. Any number of programs may do it."""
        if self._files is None:
            return 0
        keys: dict[str, list[str]] = defaultdict(list)
        for key in await self._files.list_keys(_PREFIX):
            match = _KEY.fullmatch(key)
            if match and JobIds.made_ms(match["job"]) < made_before_ms:
                keys[match["job"]].append(key)
        swept = 0
        for job_id in keys.keys() - await known_jobs(ledger, keys):
            for key in keys[job_id]:
                await self._files.delete(key)
                swept += 1
        return swept

    # --- the store ------------------------------------------------------------------------------

    @property
    def _store(self) -> FileStore:
        if self._files is None:
            raise JobBytesError("this program has no file store for jobs")
        return self._files

    async def _put(self, key: str, data: bytes) -> StoredBytes:
        try:
            path = await run_to_end(_write, self._spool, data)
        except OSError as error:
            raise UnavailableError(
                f"{len(data)} bytes of a job cannot be written to {self._spool}: {error.strerror}"
            ) from error
        try:
            await self._store.put_file(key, path)
        finally:
            path.unlink(missing_ok=True)
        return StoredBytes(key=key, size=len(data), digest=hashlib.sha256(data).hexdigest())

    async def _get(self, stored: StoredBytes, what: str) -> bytes:
        data = bytearray()
        try:
            async for chunk in self._store.stream(stored.key):
                data += chunk
                if len(data) > stored.size:
                    break
        except NotFoundError:
            raise JobBytesError(
                f"{what} ({stored.size} bytes) are not in the file store; was {stored.key} removed?"
            ) from None
        if len(data) != stored.size or hashlib.sha256(data).hexdigest() != stored.digest:
            raise JobBytesError(
                f"{what} in the file store ({stored.key}) are not what was put there"
            )
        return bytes(data)

    async def _remove_below(self, folder: str) -> None:
        if self._files is not None:
            for key in await self._files.list_keys(folder):
                await self._files.delete(key)

    async def _remove(self, stored: StoredBytes) -> None:
        try:
            await self._store.delete(stored.key)
        except OursError as error:
            _log.warning("job_bytes_left_to_sweep", key=stored.key, error=str(error))


EVERYTHING_INLINE = JobFiles(None, inline_max_bytes=0, spool=Path(tempfile.gettempdir()))
"""Keeps all bytes in the messages: for what stands without a file store."""


def _folder(job: Job) -> str:
    return f"{_PREFIX}/{job.space_id}/{job.job_id}"


def _write(spool: Path, data: bytes) -> Path:
    """A new file, readable for us alone."""
    with tempfile.NamedTemporaryFile(dir=spool, prefix="job-", delete=False) as file:
        path = Path(file.name)
        try:
            file.write(data)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    return path
