"""What use cases need of each other, as small protocols; the ports to the outside are elsewhere."""

from __future__ import annotations

from typing import Protocol

from runtime.jobs.submit import Accepted
from runtime.messages import Outcome, Source


class SpaceCache(Protocol):
    """A view of spaces that may be stale (`runtime.services.directory`)."""

    def invalidate(self, space_id: str) -> None:
        """Forget what is known of a space; called after every change of it."""


class Invoker(Protocol):
    """Runs a function for somebody who is no end user (`runtime.services.invoke`)."""

    async def invoke(
        self,
        space_id: str,
        function: str,
        args: bytes,
        *,
        source: Source,
        request_id: str,
        timeout_cap_s: float | None = None,
    ) -> Outcome:
        """`args` is JSON text; the function's own limit holds when it is shorter than the cap.

        Raises YunhanError when the function was not run; what it did is the outcome."""


class AsyncInvoker(Protocol):
    """Accepts asynchronous jobs for somebody who is no end user (`runtime.services.async_calls`)."""

    async def submit(
        self,
        space_id: str,
        function: str,
        args: bytes,
        *,
        source: Source,
        request_id: str,
        idempotency_key: str | None = None,
    ) -> Accepted:
        """`args` is JSON text. Raises CallerError, OverloadedError, UnavailableError; see `AsyncCalls`."""
