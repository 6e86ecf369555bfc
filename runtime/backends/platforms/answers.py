"""What platforms answered, read with distrust."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from runtime.backends.platforms.http import PlatformAnswer
from runtime.ports import PlatformRefusedError, PlatformUnavailableError

_CODE_MAX = 64
_TEXT_MAX = 200
_SECRET_MIN = 4
"""What is shorter is no secret and might be part of any word."""
_LONGEST_ECHO = 10_000
"""Characters in which secrets are looked for; the rest is not told anyway."""


def json_object(platform: str, answer: PlatformAnswer) -> Mapping[str, Any]:
    """The JSON object that the body is. Raises PlatformUnavailableError."""
    try:
        value = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise unreadable(platform, answer)
    return value


def unreadable(platform: str, answer: PlatformAnswer) -> PlatformUnavailableError:
    """The error for an answer that says nothing that is known. It quotes nothing of it."""
    return PlatformUnavailableError(
        platform, f"gave an answer that cannot be understood (HTTP {answer.status})"
    )


def refusal(
    platform: str, code: object, text: object, *, hidden: Iterable[str]
) -> PlatformRefusedError:
    """The error that passes on what the platform said: bounded, printable, without `hidden` secrets."""
    secrets = tuple(hidden)
    return PlatformRefusedError(
        platform,
        _clean(code, secrets, _CODE_MAX) or "no code",
        _clean(text, secrets, _TEXT_MAX),
    )


def text_of(value: object) -> str:
    """A member that should be a text; empty for anything else."""
    return value if isinstance(value, str) else ""


def _clean(value: object, hidden: Iterable[str], longest: int) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    text = str(value)[:_LONGEST_ECHO] if isinstance(value, str) or abs(value) < 10**18 else ""
    for secret in hidden:
        if len(secret) >= _SECRET_MIN:
            text = text.replace(secret, "***")
    printable = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(printable.split())[:longest]
