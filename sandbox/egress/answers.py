"""What the gate answers to a CONNECT request, and the error that carries such an answer."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"

REASON_MAX_CHARACTERS = 300

_TITLES = {
    400: "Bad Request",
    403: "Forbidden",
    429: "Too Many Requests",
    502: "Bad Gateway",
}
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
# The worker has no descriptors left, or the machine no ports: a bound, not the other side's doing.
_OWN_BOUNDS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True, slots=True)
class Answer:
    """A refusal or failure. `code` is what Node.js calls the error, `reason` one ASCII line."""

    status: int
    code: str
    reason: str

    def encode(self) -> bytes:
        """As a whole HTTP answer, after which the connection is closed."""
        reason = _UNPRINTABLE.sub("?", self.reason)[:REASON_MAX_CHARACTERS]
        return (
            f"HTTP/1.1 {self.status} {_TITLES[self.status]}\r\n"
            f"X-Egress-Error: {self.code}\r\nX-Egress-Reason: {reason}\r\n\r\n"
        ).encode("ascii")

    @property
    def is_refusal(self) -> bool:
        """Whether policy or a bound forbade it; otherwise it was tried, or was no request."""
        return self.status in {403, 429}


class NotConnected(Exception):  # noqa: N818 - an answer, not a defect
    """There will be no connection; `answer` says why."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.reason)
        self.answer = answer


def malformed(reason: str) -> NotConnected:
    """Not a CONNECT request."""
    return NotConnected(Answer(400, "EPROTO", reason))


def refused(reason: str) -> NotConnected:
    """Against the policy."""
    return NotConnected(Answer(403, "EACCES", reason))


def bound_reached(reason: str) -> NotConnected:
    """Beyond a bound."""
    return NotConnected(Answer(429, "EMFILE", reason))


def failed(code: str, reason: str) -> NotConnected:
    """Allowed, but could not be reached."""
    return NotConnected(Answer(502, code, reason))


def failed_with(error: OSError, host: str, port: int) -> NotConnected:
    """What the system said when it connected to an allowed address."""
    if error.errno in _OWN_BOUNDS:
        return bound_reached(f"the worker has no resources left to connect to {host}:{port}")
    code = errno.errorcode.get(error.errno or 0, "ECONNRESET")
    return failed(code, f"{host}:{port} could not be reached: {code}")
