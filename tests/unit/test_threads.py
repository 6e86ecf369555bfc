"""Which threads work is done in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.backends.files_object import open_file_store
from runtime.gateway.spool import SpoolLimits, spooled
from runtime.threads import FILE_READERS, run_to_end


async def test_work_is_done_in_threads_of_the_executor() -> None:
    def name() -> str:
        return threading.current_thread().name

    assert (await run_to_end(name, executor=FILE_READERS)).startswith("file-reader")
    assert not (await run_to_end(name)).startswith("file-reader")


@pytest.fixture
async def no_other_threads() -> AsyncIterator[None]:
    """The only thread of the default executor is busy."""
    go_on = threading.Event()
    executor = ThreadPoolExecutor(1)
    loop = asyncio.get_running_loop()
    loop.set_default_executor(executor)
    busy = loop.run_in_executor(None, go_on.wait)
    yield
    go_on.set()
    await busy


@pytest.mark.usefixtures("no_other_threads")
async def test_files_come_and_go_without_the_default_threads(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"abc"

    spool = tmp_path / "spool"
    spool.mkdir()
    store = open_file_store("file:", tmp_path / "store")
    limits = SpoolLimits(max_bytes=10, total_s=10)
    async with spooled(chunks(), directory=spool, limits=limits, digest="md5") as file:
        await store.take_file("files/a", file.path)
    assert [chunk async for chunk in store.stream("files/a")] == [b"abc"]
    await store.delete("files/a")
    assert list(spool.iterdir()) == []
