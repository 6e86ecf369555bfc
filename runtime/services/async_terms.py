"""The terms of asynchronous jobs: what a function may say, and what follows with the installation's defaults.

Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeVar

from runtime.errors import InvalidParameterError
from runtime.messages import AsyncConfig, AsyncTerms

T = TypeVar("T", int, float)

ATTEMPTS = range(1, 10 + 1)
BACKOFF_MAX_S = 86_400
KEY_MAX_CHARACTERS = 200

_KEY = re.compile(rf"[\x21-\x7e]{{1,{KEY_MAX_CHARACTERS}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncDefaults:
    """Of one installation (the settings `async_*`). Seconds."""

    attempts_max: int = 3
    backoff_first_s: float = 2.0
    backoff_longest_s: float = 300.0
    keep_s: float = 86_400.0


def terms_for(
    config: AsyncConfig,
    defaults: AsyncDefaults,
    *,
    accepted_ms: int,
    idempotency_key: str | None = None,
) -> AsyncTerms:
    """The terms of a job that is accepted now."""
    longest_s = _either(config.backoff_longest_s, defaults.backoff_longest_s)
    return AsyncTerms(
        accepted_ms=accepted_ms,
        attempts_max=_either(config.attempts_max, defaults.attempts_max),
        # one may be the function's and the other the installation's
        backoff_first_s=min(_either(config.backoff_first_s, defaults.backoff_first_s), longest_s),
        backoff_longest_s=longest_s,
        retry_function=config.retry_function,
        keep_s=defaults.keep_s,
        idempotency_key=idempotency_key,
    )


def check_config(config: AsyncConfig) -> None:
    """Raises InvalidParameterError for the first rule that is broken."""
    attempts = config.attempts_max
    if attempts is not None and attempts not in ATTEMPTS:
        raise InvalidParameterError(
            "Attempts", f"Attempts is {ATTEMPTS[0]} to {ATTEMPTS[-1]}, not {attempts}"
        )
    first_s, longest_s = config.backoff_first_s, config.backoff_longest_s
    for name, value in (("Backoff", first_s), ("BackoffLongest", longest_s)):
        if value is not None and not 0 <= value <= BACKOFF_MAX_S:
            raise InvalidParameterError(name, f"{name} is 0 to {BACKOFF_MAX_S} s, not {value:g}")
    if first_s is not None and longest_s is not None and first_s > longest_s:
        raise InvalidParameterError(
            "Backoff", f"Backoff ({first_s:g} s) is longer than BackoffLongest ({longest_s:g} s)"
        )


def read_key(given: object, name: str = "IdempotencyKey") -> str | None:
    """An idempotency key as a caller gave it, maybe in JSON; None and the empty text are none.

    Visible ASCII only, no space: keys that the program itself makes have one, so that nobody can take
    them. Raises InvalidParameterError (of parameter `name`)."""
    if given is None or given == "":
        return None
    if not isinstance(given, str) or not _KEY.fullmatch(given):
        raise InvalidParameterError(
            name,
            f"{name} is a text of 1 to {KEY_MAX_CHARACTERS} visible ASCII characters without spaces",
            code="InvalidParameter.IdempotencyKey",
        )
    return given


def trigger_key(key: str | None) -> str | None:
    """The key that a stranger sent to an HTTP trigger, as it is stored: apart from those of the space's
    owner, who could otherwise be answered with a stranger's job."""
    return None if key is None else f"http {key}"


def _either(own: T | None, default: T) -> T:
    return default if own is None else own
