"""Processes that stand for those a function left running."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Sleepers:
    """Processes that do nothing until they are killed."""

    def __init__(self) -> None:
        self.all: list[subprocess.Popen[bytes]] = []

    def start(self, directory: Path | str = "/") -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["sleep", "1000"], cwd=directory, start_new_session=True)
        self.all.append(process)
        return process

    def end(self) -> None:
        for process in self.all:
            process.kill()
            process.wait()
