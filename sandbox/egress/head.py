"""Reads the head of a CONNECT request. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sandbox.egress.answers import malformed, refused
from sandbox.egress.hosts import Host, HostError, parse_host, parse_port

END_OF_HEAD = b"\r\n\r\n"

_HEAD = re.compile(
    rb"CONNECT ([\x21-\x7e]+) HTTP/1\.1\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e]*\r\n)*\r\n"
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a sandbox wants to go; nothing is checked yet."""

    host: str
    port: str

    def parse(self) -> tuple[Host, int]:
        """The host and the port. Raises NotConnected (refused) for any odd spelling."""
        try:
            return parse_host(self.host), parse_port(self.port)
        except HostError as error:
            raise refused(f"{self.host}:{self.port} {error}") from None


def parse_head(head: bytes) -> Target:
    """`head` with its empty line at the end. Raises NotConnected (malformed)."""
    match = _HEAD.fullmatch(head)
    if match is None:
        raise malformed("only CONNECT host:port HTTP/1.1 is answered here")
    host, colon, port = match[1].decode("ascii").rpartition(":")
    if not colon:
        raise malformed("the target of CONNECT is host:port")
    return Target(host, port)
