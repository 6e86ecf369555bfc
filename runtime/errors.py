"""The error tree. Blame is part of the type, the code is stable, the message says what to do.

    YunhanError
      CallerError      the request is at fault; repeating it unchanged is useless
      OursError        we are at fault or overloaded; repeating it later may help

What a *function* did is never an exception here: it is an `Outcome`.

`code` is what `/client` and `/server` answer (spec: functions (g)); HTTP statuses are
made of it in `runtime.gateway.management.answers` and `runtime.gateway.triggers.answers`.
"""

from __future__ import annotations

import errno
from typing import ClassVar

from sandbox.api import Blame


class YunhanError(Exception):
    """Base. `code` is stable and machine readable, `message` is for people."""

    blame: ClassVar[Blame] = Blame.OURS

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class CallerError(YunhanError):
    """The caller has to change the request."""

    blame = Blame.CALLER


class OursError(YunhanError):
    """We failed; `retry_after_s` is set when trying again later makes sense."""

    def __init__(self, code: str, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s


class NotFoundError(CallerError):
    """Something that the caller named does not exist."""


class ConflictError(CallerError):
    """Something that the caller wants to make exists already, or changed meanwhile."""


class KeyReusedError(ConflictError):
    """An idempotency key came again with other arguments: no job was made."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            "IdempotencyKeyReused",
            f"the idempotency key belongs to job {job_id}, which has other arguments; repeat a call with"
            " the same arguments, or give another call another key",
        )


class DomainTakenError(CallerError):
    """A custom domain belongs to another space already."""

    def __init__(self, domain: str) -> None:
        super().__init__(
            "CustomDomainAlreadyExists",
            f"the domain {domain} belongs to another space; remove it there first",
        )


class InvalidParameterError(CallerError):
    """A parameter breaks a rule. `parameter` names it."""

    def __init__(self, parameter: str, message: str, *, code: str | None = None) -> None:
        super().__init__(code or f"InvalidParameter.{parameter}", message)
        self.parameter = parameter


class TargetRefusedError(CallerError):
    """A function asked the worker to send a request to where functions may not go. `where` is host:port."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__("HttpProxy.Refused", f"connection to {where} refused: {reason}")


class TokenError(CallerError):
    """Token trouble: the SDK authorizes again and repeats the call once (client protocol §6)."""

    def __init__(self, message: str) -> None:
        super().__init__("GATEWAY_INVALID_TOKEN", message)


class OverloadedError(OursError):
    """Refused at once because a bound is reached (design decision 13)."""

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__("Throttling.Api.Concurrency", message, retry_after_s=retry_after_s)


class RateExceededError(OverloadedError):
    """Refused because this came too fast; a little later it will not be."""


class TooManyRequestsError(RateExceededError):
    """Refused because an address or a user asks too often (spec: functions (g)). `who` is said to people."""

    def __init__(self, who: str, *, retry_after_s: int) -> None:
        super().__init__(
            f"too many requests from {who}; try again in {retry_after_s} s",
            retry_after_s=retry_after_s,
        )
        self.code = "Throttling.Api"


class LineFullError(OverloadedError):
    """Refused because the line of its space, or of those who share it, is full: others may have room."""


class UnavailableError(OursError):
    """A part that we need (database, store, queue) does not answer."""

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__("InternalServerError", message, retry_after_s=retry_after_s)


class StorageFullError(OursError):
    """The file store has no room: the disk or a quota is full. Nothing was stored."""

    def __init__(self, where: str) -> None:
        super().__init__(
            "InsufficientStorage",
            f"{where} has no room left, nothing was stored; the operator has to free or add space (delete"
            " files or old deployments, enlarge the disk or raise its quota)",
        )


def is_full(error: BaseException) -> bool:
    """Whether the disk, or somebody's quota on it, is full."""
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}


class MalformedMessageError(OursError):
    """Bytes from a broker or a ledger are no job or outcome. The message says what is wrong with
    them, not what they hold."""

    def __init__(self, message: str) -> None:
        super().__init__("InternalServerError", message)
