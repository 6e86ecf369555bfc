"""A document database for several programs of a test: the embedded server, kept by a process of its own.

`python -m tests.harness.documents FOLDER` prints its URL and keeps it until the standard input ends.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import structlog

from runtime.backends.documents_embedded import EmbeddedDocuments

_RESTARTS_MAX = 1_000_000
"""Tests may kill the server as often as they like."""


class Documents:
    """One database server. It ends with the process that started it, whatever happens to that."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Documents:
        """Start and wait until it serves."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.harness.documents", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().decode().strip()
        assert self.url, f"the document database did not start in {self.folder}"
        return self

    def stop(self) -> None:
        """Idempotent."""
        if self.process is not None:
            self.process.communicate()
            self.process = None


async def _keep(folder: Path) -> None:
    async with EmbeddedDocuments(folder, "tests", restarts_max=_RESTARTS_MAX) as documents:
        sys.stdout.write(f"{documents.url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(_keep(Path(sys.argv[1])))
