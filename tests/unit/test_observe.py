from __future__ import annotations

import io
import sys
from typing import Literal

import pytest
import structlog

from runtime.observe import configure_log


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_strangers_send_cannot_break_or_forge_a_line(
    monkeypatch: pytest.MonkeyPatch, log_format: Literal["text", "json"]
) -> None:
    written = io.BytesIO()
    stdout = io.TextIOWrapper(written, encoding="ascii", errors="strict", write_through=True)
    monkeypatch.setattr(sys, "stdout", stdout)
    before = structlog.get_config()
    try:
        configure_log(log_format=log_format, level="info")
        structlog.get_logger("t").info("refused", host="a\udcff\x9b31m\nforged 中")
    finally:
        structlog.configure(**before)
    line = written.getvalue()
    assert line.count(b"\n") == 1
    assert b"refused" in line
    assert b"forged" in line
    assert not set(line) & {0x1B, 0x9B, 0xFF}
