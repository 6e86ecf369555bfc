"""Which settings a function may have (spec: management API §5)."""

from __future__ import annotations

import re

from runtime.errors import InvalidParameterError
from runtime.messages import Function
from runtime.timers.cron_text import CronTextError
from runtime.timers.schedule import read_schedule

MEMORY_STEP_MB = 64
MEMORY_MB = range(128, 2048 + 1)
TIMEOUT_S = range(1, 7200 + 1)
CONCURRENCY = range(1, 20 + 1)
CONCURRENT_MEMORY_MIN_MB = 512
"""Several invocations in one sandbox need room."""
NODE_MAJORS = range(8, 99 + 1)
"""Any is accepted; a worker without that version takes the nearest that it has."""

_RUNTIME = re.compile(r"nodejs([1-9][0-9]?)")


def node_major(runtime: str) -> int | None:
    """The Node.js version that a `Runtime` names; None when it names none."""
    match = _RUNTIME.fullmatch(runtime)
    if match is None or int(match[1]) not in NODE_MAJORS:
        return None
    return int(match[1])


def check_function(function: Function) -> None:
    """Raises InvalidParameterError for the first rule that is broken."""
    if node_major(function.runtime) is None:
        raise InvalidParameterError(
            "Runtime",
            f"Runtime is nodejs{NODE_MAJORS[0]} to nodejs{NODE_MAJORS[-1]},"
            f" not {function.runtime[:30]!r}",
        )
    if function.memory_mb not in MEMORY_MB or function.memory_mb % MEMORY_STEP_MB:
        raise InvalidParameterError(
            "Memory",
            f"Memory is a multiple of {MEMORY_STEP_MB} from {MEMORY_MB[0]} to {MEMORY_MB[-1]} MB,"
            f" not {function.memory_mb}",
        )
    if function.timeout_s not in TIMEOUT_S:
        raise InvalidParameterError(
            "Timeout",
            f"Timeout is {TIMEOUT_S[0]} to {TIMEOUT_S[-1]} s, not {function.timeout_s}",
        )
    if function.concurrency not in CONCURRENCY:
        raise InvalidParameterError(
            "InstanceConcurrency",
            f"InstanceConcurrency is {CONCURRENCY[0]} to {CONCURRENCY[-1]},"
            f" not {function.concurrency}",
        )
    if function.concurrency > 1 and function.memory_mb < CONCURRENT_MEMORY_MIN_MB:
        raise InvalidParameterError(
            "InstanceConcurrency",
            f"InstanceConcurrency above 1 needs at least {CONCURRENT_MEMORY_MIN_MB} MB of Memory,"
            f" {function.name} has {function.memory_mb}",
        )


def check_timer(function: Function, *, payload_max: int) -> None:
    """Raises InvalidParameterError for a text that is no timer or a payload that is too long."""
    if len(function.timer_payload) > payload_max:
        raise InvalidParameterError(
            "TimingTriggerUserPayload",
            f"TimingTriggerUserPayload has at most {payload_max} characters,"
            f" this one has {len(function.timer_payload)}",
        )
    if not function.timer_cron:
        return
    try:
        read_schedule(function.timer_cron)
    except CronTextError as error:
        raise InvalidParameterError(
            "TimingTriggerConfig",
            f"TimingTriggerConfig {function.timer_cron[:64]!r}, {error}",
        ) from None
