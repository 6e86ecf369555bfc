"""The log file of the embedded document server stays bounded."""

from __future__ import annotations

from pathlib import Path

from runtime.backends.embedded.log import EmbeddedLog


def test_output_is_appended(tmp_path: Path) -> None:
    EmbeddedLog(tmp_path / "server.log").write(b"one\n")
    EmbeddedLog(tmp_path / "server.log").write(b"two\n")
    assert (tmp_path / "server.log").read_bytes() == b"one\ntwo\n"


def test_log_is_bounded_and_keeps_the_newest(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "server.log", max_bytes=100)
    for number in range(1000):
        log.write(b"%09d\n" % number)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 200
    kept = (tmp_path / "server.log.1").read_bytes() + (tmp_path / "server.log").read_bytes()
    assert kept.endswith(b"%09d\n" % 999)
    assert len(kept) > 100


def test_one_huge_chunk_is_cut(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "server.log", max_bytes=100)
    log.write(b"x" * 1000 + b"end")
    assert (tmp_path / "server.log").read_bytes() == b"x" * 97 + b"end"


def test_tail_is_of_the_last_run(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "server.log")
    log.write(b"old run\n")
    log.begin()
    assert log.tail == ""
    log.write(b"y" * 100_000)
    log.write("\nlast wörds\n".encode())
    assert log.tail.endswith("last wörds")
    assert len(log.tail) < 5000


def test_disk_that_refuses_does_not_matter(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "missing" / "server.log")
    log.write(b"words")
    assert log.tail == "words"
