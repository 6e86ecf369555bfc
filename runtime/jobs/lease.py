"""Keeps one claim's lease alive while its job runs."""

from __future__ import annotations

import asyncio

import structlog

from runtime.errors import YunhanError
from runtime.ports import Claim, Clock, Ledger, Sleep

_log = structlog.get_logger(__name__)

_RENEWALS_PER_LEASE = 3
_SOONER = 4
"""After a failed renewal the next one comes this many times sooner."""


class LeaseKeeper:
    """The lease of one claim, as this worker knows it."""

    def __init__(
        self,
        claim: Claim,
        ledger: Ledger,
        clock: Clock,
        *,
        lease_s: float,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._claim = claim
        self._ledger = ledger
        self._clock = clock
        self._lease_s = lease_s
        self._sleep = sleep

    async def keep(self) -> None:
        """Renew until the claim is lost; then return. Cancel it when the job ended.

        While the ledger does not answer this goes on trying, beyond the end of the lease too: as long as
        nobody reaches the ledger, nobody takes the job over, and afterwards the first renewal holds again
        or tells that the claim is lost."""
        interval_s = self._lease_s / _RENEWALS_PER_LEASE
        wait_s = interval_s
        while True:
            await self._sleep(wait_s)
            try:
                held = await self._ledger.renew(
                    self._claim,
                    lease_ms=round(self._lease_s * 1000),
                    now_ms=self._clock.now_ms(),
                )
            except YunhanError as error:
                if wait_s == interval_s:  # once, not with every further try
                    _log.warning("lease_not_renewed", job_id=self._claim.job_id, error=str(error))
                wait_s = interval_s / _SOONER
                continue
            if not held:
                return
            wait_s = interval_s
