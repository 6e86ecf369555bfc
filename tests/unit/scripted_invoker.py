"""An invoker that is told what to answer, and keeps what it was asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runtime.messages import Bill, CallKind, InvocationRecord, Outcome, Source
from sandbox.api import OutcomeKind


@dataclass(frozen=True)
class Invocation:
    """One call that reached the invoker."""

    space_id: str
    function: str
    args: bytes
    source: Source
    request_id: str
    timeout_cap_s: float | None


class Sink:
    """Keeps records."""

    def __init__(self) -> None:
        self.records: list[InvocationRecord] = []

    def append(self, record: InvocationRecord) -> None:
        self.records.append(record)


class ScriptedInvoker:
    """Answers every call with what the test put into `script`; by default echoes the arguments."""

    def __init__(self) -> None:
        self.calls: list[Invocation] = []
        self.script: Callable[[Invocation], Outcome] = echo

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
        call = Invocation(space_id, function, args, source, request_id, timeout_cap_s)
        self.calls.append(call)
        return self.script(call)


def echo(call: Invocation) -> Outcome:
    return Outcome(
        request_id=call.request_id,
        kind=OutcomeKind.OK,
        value=call.args,
        bill=Bill(
            run_ms=13.2,
            peak_memory_mb=31.5,
            egress_connections=2,
            egress_refused=0,
            egress_bytes=512,
            calls={CallKind.FUNCTION: 1},
        ),
    )
