"""The bounded log file of the embedded document server."""

from __future__ import annotations

from pathlib import Path

_TAIL_BYTES = 4096


class EmbeddedLog:
    """Appends to `path`; when it is full it becomes `<path>.1` (replacing the last one) and a new one begins.

    So at most twice `max_bytes` are kept. A log that cannot be written must not stop the server: such
    errors are ignored, the tail in memory is always there.
    """

    def __init__(self, path: Path, max_bytes: int = 1024 * 1024) -> None:
        self._path = path
        self._older = path.with_name(path.name + ".1")
        self._max_bytes = max_bytes
        self._tail = b""

    @property
    def tail(self) -> str:
        """The end of what was written in this run."""
        return self._tail.decode(errors="replace").strip()

    def begin(self) -> None:
        """A new process writes: forget the tail of the one before."""
        self._tail = b""

    def write(self, chunk: bytes) -> None:
        """Blocks for the disk."""
        self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
        try:
            with self._path.open("ab") as file:
                if file.tell() + len(chunk) <= self._max_bytes:
                    file.write(chunk)
                    return
            self._path.replace(self._older)
            self._path.write_bytes(chunk[-self._max_bytes :])
        except OSError:
            return
