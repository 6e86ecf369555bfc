"""How requests about files are refused. The codes are what the SDKs hand to the app."""

from __future__ import annotations

from runtime.errors import CallerError, InvalidParameterError

PARAM_INVALID = "ParamInvalid"
"""Unsupported type, unknown or expired id, too many ids, no such file (spec: functions (g))."""


class FileDeniedError(CallerError):
    """The file rules of the space refuse it. HTTP: 403."""

    def __init__(self, path: str, operation: str) -> None:
        super().__init__(
            "PermissionDenied",
            f"the file rules refuse to {operation} {path[:120]!r}; they are changed on the management side",
        )


class SignatureRefusedError(CallerError):
    """A signed form or address is not ours, was changed, has expired or was used. HTTP: 403."""


class TooManyUploadsError(CallerError):
    """So many uploads are under way or not reported. `whose` is said to people. HTTP: 429."""

    def __init__(self, whose: str, bound: int) -> None:
        super().__init__(
            "Throttling.Api.Concurrency",
            f"{bound} uploads of {whose} are under way or were never reported; report them, or wait until"
            " their time is over",
        )


def param_invalid(parameter: str, message: str) -> InvalidParameterError:
    """A parameter of a file call that is no good. HTTP: 400."""
    return InvalidParameterError(parameter, message, code=PARAM_INVALID)


def not_ours(what: str) -> SignatureRefusedError:
    """The signature does not fit, or covers something else."""
    return SignatureRefusedError(
        "SignatureDoesNotMatch", f"{what} was not signed here, or was changed; ask for a new one"
    )


def expired(what: str) -> SignatureRefusedError:
    """Its time is over."""
    return SignatureRefusedError("AccessDenied", f"{what} has expired; ask for a new one")


def used(what: str) -> SignatureRefusedError:
    """It is good for one upload, and that has begun."""
    return SignatureRefusedError(
        "AccessDenied", f"{what} is for one upload and was used; ask for a new one"
    )
