"""One sandbox's channel: the worker's end of the unix socket, as frames.

A plain `asyncio.Protocol`, not streams: streams cost several times the round trip of a small frame.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, cast

from sandbox.api import SandboxError
from sandbox.frames import Frame, FrameError
from sandbox.protocol import FrameParser, encode

# sun_path holds 108 bytes on Linux and 104 on macOS; docker's and bubblewrap's own paths are short.
CHANNEL_PATH_MAX_BYTES = 100
# So many frames of one sandbox are handled before everything else gets its turn: one read may hold
# thousands of small ones. Nothing more is read meanwhile.
FRAMES_PER_TURN = 32


class ChannelPeer(Protocol):
    """Who a channel reports to. None of these may block or raise."""

    def on_frame(self, frame: Frame) -> None: ...

    def on_frame_error(self, error: FrameError) -> None:
        """The other side broke the protocol; nothing more will be read."""

    def on_channel_closed(self) -> None:
        """The channel is closed, whoever closed it. Called once, last."""


class Channel(asyncio.Protocol):
    """Frames over one connection, which `ChannelListener.accept` makes."""

    def __init__(self, parser: FrameParser, peer: ChannelPeer) -> None:
        self._parser = parser
        self._peer = peer
        self._transport: asyncio.Transport | None = None
        self._frames: Iterator[Frame] | None = None
        """Of the last read, when not all of them were handled."""
        self._aborted = False
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def connected(self) -> bool:
        return self._transport is not None

    @property
    def truncated(self) -> bool:
        """True when what was read so far ends inside a frame."""
        return self._parser.truncated

    def send(self, frame: Frame) -> None:
        """Queue one frame for writing; does nothing on a closed channel. Raises ValueError for a
        header beyond its bound."""
        data = encode(frame)
        if self._transport is not None and not self._aborted:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the other side has taken most of what was sent, or the channel is closed."""
        await self._writable.wait()

    def abort(self) -> None:
        """Close at once, without flushing; nothing more is read. Idempotent."""
        self._aborted = True
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._aborted:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._frames = self._parser.feed(data)
        self._handle_frames()
        if self._frames is not None and self._transport is not None:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._handle_frames()
        if self._frames is not None:
            asyncio.get_running_loop().call_soon(self._go_on)
        elif self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _handle_frames(self) -> None:
        """The next few of the last read; `_frames` is None after the last one."""
        frames = self._frames
        if frames is None:
            return
        try:
            for _ in range(FRAMES_PER_TURN):
                frame = None if self._aborted else next(frames, None)
                if frame is None:
                    self._frames = None
                    return
                self._peer.on_frame(frame)
        except FrameError as error:
            self._frames = None
            if not self._aborted:
                self.abort()
                self._peer.on_frame_error(error)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # a reset is as good as an end: the process tells why
        while self._frames is not None:
            self._handle_frames()  # what came before the end counts, a result above all
        self._transport = None
        self._writable.set()
        self._peer.on_channel_closed()


def check_channel_path(path: Path) -> None:
    """Raises SandboxError when `path` is too long for a unix socket."""
    size = len(os.fsencode(path))
    if size >= CHANNEL_PATH_MAX_BYTES:
        raise SandboxError(
            f"the socket path {path} has {size} bytes, a unix socket takes fewer than"
            f" {CHANNEL_PATH_MAX_BYTES}.",
            what_next="Choose a shorter directory for run-time files.",
        )


class ChannelListener:
    """Listens on a named unix socket for exactly one connection, then removes the name."""

    def __init__(self, path: Path) -> None:
        """Raises SandboxError when the socket cannot be made."""
        check_channel_path(path)
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(0)
            self._socket.bind(os.fspath(path))
            self._socket.listen(1)
        except OSError as error:
            self._socket.close()
            raise SandboxError(
                f"the socket {path} cannot be made: {error.strerror}.",
                what_next="Check that the directory exists and is writable.",
            ) from error

    async def accept(self, channel: Channel) -> None:
        """Wait for the connection and give it to `channel`; afterwards, also after an error or a
        cancellation, the listener is closed."""
        loop = asyncio.get_running_loop()
        try:
            connection, _ = await loop.sock_accept(self._socket)
        finally:
            self.close()
        try:
            await loop.connect_accepted_socket(lambda: channel, connection)
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Stop listening and remove the name. Idempotent."""
        if self._socket.fileno() != -1:
            self._socket.close()
            self._path.unlink(missing_ok=True)
