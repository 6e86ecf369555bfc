"""Why a message of another system is not taken: the names are part of the public contract (docs/amqp.md)."""

from __future__ import annotations

from enum import StrEnum

DETAIL_MAX = 500
"""Characters of a sentence that goes with a reason."""


class Reason(StrEnum):
    """Stable; header `x-yunhan-reason` of a dead letter. New ones may come, none changes its meaning."""

    TOO_LARGE = "too_large"
    """More bytes than a message may have, or its arguments have."""
    CONTENT_TYPE = "content_type"
    """Not application/json, or compressed."""
    MALFORMED = "malformed"
    """No JSON, too deep, a field is missing or is none of its kind."""
    VERSION = "version"
    """Of a version of the contract that is not known here."""
    NO_USER = "no_user"
    """Without the property `user_id`, which the broker compares with the user of the connection."""
    FORBIDDEN = "forbidden"
    """That user may not send to that space."""
    UNKNOWN_SPACE = "unknown_space"
    UNKNOWN_FUNCTION = "unknown_function"
    KEY_REUSED = "key_reused"
    """Its idempotency key belongs to a job with other arguments."""
    NOT_RUNNABLE = "not_runnable"
    """The space is paused, the function has no code, or another rule of theirs."""
    OVERLOADED = "overloaded"
    """Jobs of its space were refused for so long."""
    INTERNAL = "internal"
    """An error of ours that repeating did not cure; the log has it."""


class IntakeRefusedError(Exception):
    """Carries a reason and a sentence for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = shown(detail)


def shown(text: str) -> str:
    """Fit for headers and logs: one line, bounded, valid UTF-8."""
    line = "".join(sign if sign.isprintable() else "?" for sign in text[:DETAIL_MAX])
    return line.encode("utf-8", "replace").decode()
