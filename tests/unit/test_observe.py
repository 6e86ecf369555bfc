from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest
import structlog

from runtime.observe import configure_log

_SECRET = "hush-hush"


@contextmanager
def logging_to(
    monkeypatch: pytest.MonkeyPatch, log_format: Literal["text", "json"]
) -> Iterator[io.BytesIO]:
    """What the program log prints inside."""
    written = io.BytesIO()
    stdout = io.TextIOWrapper(written, encoding="ascii", errors="strict", write_through=True)
    monkeypatch.setattr(sys, "stdout", stdout)
    before = structlog.get_config()
    try:
        configure_log(log_format=log_format, level="info")
        yield written
    finally:
        structlog.configure(**before)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_strangers_send_cannot_break_or_forge_a_line(
    monkeypatch: pytest.MonkeyPatch, log_format: Literal["text", "json"]
) -> None:
    with logging_to(monkeypatch, log_format) as written:
        structlog.get_logger("t").info("refused", host="a\udcff\x9b31m\nforged 中")
    line = written.getvalue()
    assert line.count(b"\n") == 1
    assert b"refused" in line
    assert b"forged" in line
    assert not set(line) & {0x1B, 0x9B, 0xFF}


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_traceback_shows_no_variables(
    monkeypatch: pytest.MonkeyPatch, log_format: Literal["text", "json"]
) -> None:
    def fail(secret: str) -> None:
        raise ValueError(f"{len(secret)} characters")

    with logging_to(monkeypatch, log_format) as written:
        try:
            fail(_SECRET)
        except ValueError:
            structlog.get_logger("t").exception("failed")
    told = written.getvalue()
    assert b"ValueError: 9 characters" in told
    assert b"hush-hush" not in told
