"""Hosts inside the worker: names that lead to a handler of the worker's own, not to the network.

A handler is a protocol factory, as for `loop.create_server`; an HTTP server's will do. It gets the
sandbox's connection as if it had been accepted from it, and ends it by closing the transport. It
must not give the transport another protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from sandbox.egress.answers import ESTABLISHED
from sandbox.egress.hosts import HostError, parse_name, parse_port

InternalHandler = Callable[[], asyncio.Protocol]
InternalHosts = Mapping[tuple[str, int], InternalHandler]


def internal_hosts(handlers: Mapping[str, InternalHandler]) -> InternalHosts:
    """From texts like ``files.yunhan.internal:80``. Raises ValueError for any other text."""
    hosts: dict[tuple[str, int], InternalHandler] = {}
    for text, handler in handlers.items():
        name, _, port = text.rpartition(":")
        try:
            hosts[parse_name(name), parse_port(port)] = handler
        except HostError as error:
            raise ValueError(f"the internal host {text!r} {error}") from None
    return hosts


class InternalSide(asyncio.Protocol):
    """Passes everything to the handler's protocol, and the end to `on_closed` too."""

    def __init__(self, handler: asyncio.Protocol, on_closed: Callable[[], None]) -> None:
        self._handler = handler
        self._on_closed = on_closed

    def start(self, transport: asyncio.Transport, early: bytes, *, ended: bool) -> None:
        """Take over `transport`. `early` was read already; `ended` = and nothing more will be."""
        transport.set_protocol(self)
        transport.write(ESTABLISHED)
        self._handler.connection_made(transport)
        if early:
            self._handler.data_received(early)
        if not ended:
            transport.resume_reading()
        elif not self._handler.eof_received():
            transport.close()

    def data_received(self, data: bytes) -> None:
        self._handler.data_received(data)

    def eof_received(self) -> bool | None:
        return self._handler.eof_received()

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        try:
            self._handler.connection_lost(exc)
        finally:
            self._on_closed()
