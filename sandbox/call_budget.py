"""How many bytes of service calls a worker holds: a bound for each sandbox and one for all together.

A call with long parameters asks first (`reserve`) and is sent when it is granted. So what waits, waits in
its sandbox, and the channel is never stopped: results, logs and other invocations' calls go on. (Stopping
it could deadlock: where a function calls itself, the child that would end the call may run in the same
sandbox, and its result would come over the stopped channel.)

Whoever asks and then sends nothing, or sends slowly, holds what it was granted until its invocation ends. So
that this is nobody else's loss, a sandbox gets its part of the worker's bound (a sixteenth) even when the
others hold all of it.

An invocation that has no granted call gets one whatever the bounds say. That is why waiting ends: a call is
over when a service has answered it, or when the child that it started has ended; the child is an invocation
that waits for nothing but its own calls, of which one is always granted; and the depth of calls is bounded.
So at most the worker's bound is held, and on top of it that part for each sandbox and one call for each
invocation under way, which the worker's slots bound.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

SANDBOX_PARTS = 16
"""Of the worker's bound: one of them a sandbox may hold whatever the others do."""


class CallBudget:
    """The bytes of one worker. Its sandboxes take from it through their `Share`."""

    def __init__(self) -> None:
        self.held = 0
        """Bytes of granted calls and of answers that were not sent yet."""
        self._waiting: dict[CallLine, None] = {}  # in the order in which they are served

    def share(self, max_bytes: int, worker_max_bytes: int) -> Share:
        """For one sandbox: it may hold `max_bytes`, all together `worker_max_bytes`."""
        return Share(self, max_bytes, worker_max_bytes)

    def wait(self, line: CallLine) -> None:
        self._waiting[line] = None

    def forget(self, line: CallLine) -> None:
        self._waiting.pop(line, None)

    def serve(self) -> None:
        """Grant what fits now, one call of each invocation in turn."""
        served = True
        while served:
            served = False
            for line in tuple(self._waiting):
                if not line.fits():
                    continue
                served = True
                del self._waiting[line]
                if line.grant_next():
                    self._waiting[line] = None  # behind the others


class Share:
    """What one sandbox holds."""

    def __init__(self, budget: CallBudget, max_bytes: int, worker_max_bytes: int) -> None:
        self.budget = budget
        self._max_bytes = max_bytes
        self._worker_max_bytes = worker_max_bytes
        self._held = 0

    def line(self, on_grant: Callable[[int], None]) -> CallLine:
        """For one invocation; `on_grant(call)` is called for each call that may come."""
        return CallLine(self, on_grant)

    def fits(self, size: int) -> bool:
        held = self._held + size
        return held <= self._max_bytes and (
            self.budget.held + size <= self._worker_max_bytes
            or held <= self._worker_max_bytes // SANDBOX_PARTS
        )

    def is_too_much(self, size: int) -> bool:
        """Whether `size` more is beyond both bounds: the sandbox's and the worker's."""
        return (
            self._held + size > self._max_bytes and self.budget.held + size > self._worker_max_bytes
        )

    def take(self, size: int) -> None:
        self._held += size
        self.budget.held += size

    def give_back(self, size: int) -> None:
        self._held -= size
        self.budget.held -= size
        self.budget.serve()


class CallLine:
    """The granted calls of one invocation, and those that wait, in order."""

    def __init__(self, share: Share, on_grant: Callable[[int], None]) -> None:
        self._share = share
        self._on_grant = on_grant
        self._granted: dict[int, int] = {}
        self._waiting: deque[tuple[int, int]] = deque()

    def reserve(self, call: int, size: int) -> None:
        """Room for a call of `size` bytes, now or later."""
        self._waiting.append((call, size))
        if len(self._waiting) == 1:
            if not self.fits():
                self._share.budget.wait(self)
            else:
                self.grant_next()

    def size_granted(self, call: int) -> int | None:
        """None = it was not granted, or is over."""
        return self._granted.get(call)

    def release(self, call: int) -> None:
        """The call is over, or was never granted. Idempotent."""
        size = self._granted.pop(call, None)
        if size is not None:
            self._share.give_back(size)

    def close(self) -> None:
        """The invocation is over, with all its calls. Idempotent."""
        self._waiting.clear()
        self._share.budget.forget(self)
        size = sum(self._granted.values())
        self._granted.clear()
        self._share.give_back(size)

    def fits(self) -> bool:
        """Whether the next one may be granted; there is one."""
        return not self._granted or self._share.fits(self._waiting[0][1])

    def grant_next(self) -> bool:
        """True when another one waits."""
        call, size = self._waiting.popleft()
        self._granted[call] = size
        self._share.take(size)
        self._on_grant(call)
        return bool(self._waiting)
