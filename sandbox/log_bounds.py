"""The worker's own bounds on an invocation's log: the sandbox cuts too, but a hostile one may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sandbox.api import Limits, LogLine


class LogBounds:
    """Counts the lines of one invocation and cuts what is beyond its limits."""

    def __init__(self, limits: Limits) -> None:
        self._line_max_bytes = limits.log_line_max_bytes
        self._lines_left = limits.log_lines_max
        self._bytes_left = limits.log_max_bytes
        self._closed = False

    @property
    def closed(self) -> bool:
        """A line did not fit: nothing fits any more."""
        return self._closed

    @property
    def lines_wanted(self) -> int:
        """More lines than this need not be given to `admit`: the last one is enough to cut the log."""
        return 0 if self._closed else self._lines_left + 1

    def admit(self, lines: Sequence[LogLine]) -> tuple[Sequence[LogLine], bool]:
        """The lines that fit, and whether anything was cut.

        Too long a line is cut; after the first line that does not fit at all nothing fits any
        more, so that the log has no holes.
        """
        admitted: list[LogLine] = []
        cut = False
        for line in lines:
            size = utf8_size(line.text)
            if size > self._line_max_bytes:
                size, cut = self._line_max_bytes, True
                line = replace(line, text=cut_utf8(line.text, size))  # noqa: PLW2901
            if self._lines_left <= 0 or size > self._bytes_left:
                self._closed, self._lines_left = True, 0
                return admitted, True
            self._lines_left -= 1
            self._bytes_left -= size
            admitted.append(line)
        return admitted, cut


def utf8_size(text: str) -> int:
    """Bytes of `text` in UTF-8; lone surrogates count as one."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def cut_utf8(text: str, max_bytes: int) -> str:
    """The longest beginning of `text` that has at most `max_bytes` bytes in UTF-8."""
    return text[:max_bytes].encode("utf-8", "replace")[:max_bytes].decode("utf-8", "ignore")
