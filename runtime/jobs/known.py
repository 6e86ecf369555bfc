"""Which of many jobs the ledger knows."""

from __future__ import annotations

from collections.abc import Iterable

from runtime.ports import Ledger

_BATCH = 500


async def known_jobs(ledger: Ledger, job_ids: Iterable[str]) -> frozenset[str]:
    """Those that have an entry, asked for in batches. Raises UnavailableError."""
    known: set[str] = set()
    asked = list(job_ids)
    for start in range(0, len(asked), _BATCH):
        known |= await ledger.known(asked[start : start + _BATCH])
    return frozenset(known)
