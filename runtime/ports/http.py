"""Requests that the worker sends for functions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sandbox.api import EgressRules


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request that the worker sends for a function. Nothing of it was checked but its types."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    response_max_bytes: int
    """Of the body, as it is after decompression."""
    timeout_s: float
    """From the look-up of the host to the last byte of the body."""
    egress: EgressRules
    """Of the function that it is sent for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """`headers` by name in lower case; `set-cookie` is a list, others that came twice are joined."""

    status: int
    headers: Mapping[str, str | Sequence[str]]
    body: bytes


@dataclass(slots=True, kw_only=True)
class HttpTraffic:
    """What requests that the worker sends for one invocation move, while they move it: one that fails or
    is still under way has counted what it did so far."""

    connections: int = 0
    refused: int = 0
    bytes_moved: int = 0
    """Heads and bodies as HTTP sends them, both ways, without TLS and the framing of chunks."""


class HttpClient(ABC):
    """Sends requests to where functions may go, and nowhere else."""

    @abstractmethod
    async def send(self, request: HttpRequest, traffic: HttpTraffic) -> HttpResponse:
        """Send it once; a redirect is an answer like any other. Nothing is kept for the next request: no
        connection, no cookie. Adds to `traffic`, whatever the end. Raises TargetRefusedError, and CallerError
        for a request that is none, a host that cannot be reached, an answer that is too large or too late."""
