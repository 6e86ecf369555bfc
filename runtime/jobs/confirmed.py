"""What a queue keeps by itself need not be looked at by sweepers soon."""

from __future__ import annotations

from runtime.ports import Ledger, Queue


async def note_confirmed(
    ledger: Ledger, queue: Queue, job_id: str, *, attempts: int, due_ms: int, confirmed_s: float
) -> None:
    """The queue confirmed a job that made so many attempts; its next one is due at `due_ms`. Sweepers look
    at it `confirmed_s` after that. Raises UnavailableError; it is then enqueued once more, no harm."""
    if queue.keeps_jobs:
        look_ms = due_ms + round(confirmed_s * 1000)
        await ledger.confirmed(job_id, attempts=attempts, look_ms=look_ms)
