"""What an export or import tells on stderr."""

from __future__ import annotations

import io
import sys

import pytest

from runtime.cli.db_progress import TransferProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_line_that_is_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = TransferProgress()
    progress.at("a\x1b[31mb", 1000, 20_000)
    progress.at("a", 5, 0)
    progress.say("done")
    first, second, cleared, done = terminal.getvalue().split("\r")[1:]
    assert first == "a?[31mb: 1,000 of 20,000"
    assert second.rstrip() == "a: 5"
    assert len(second) == len(first)
    assert not cleared.strip()
    assert done == "done\n"


def test_a_pipe_has_whole_lines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    progress = TransferProgress()
    progress.at("a", 1, 2)
    progress.say("done")
    assert pipe.getvalue() == "done\n"
