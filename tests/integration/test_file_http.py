"""Files over HTTP in a process of its own: 100 MB both ways in little memory, and what curl makes of it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientTimeout

from tests.integration.file_program import MAX_BYTES
from tests.unit.gateway.file_stand import FORM_TYPE, SPACE, FileStand, form, make_stand

pytestmark = pytest.mark.integration

RISE_MAX_BYTES = 40 << 20
PIECE = os.urandom(1 << 20)
DIGEST = hashlib.sha256(PIECE * (MAX_BYTES >> 20)).hexdigest()
ROOT = Path(__file__).parents[2]

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


class Program:
    """The process and what signs for it."""

    def __init__(self, port: int, signer: FileStand, http: ClientSession) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.signer = signer
        self.http = http

    async def peak(self) -> int:
        async with self.http.get(f"{self.url}/peak") as answer:
            return int(await answer.text())

    async def report(self) -> None:
        upload = self.signer.upload_ids[-1]
        async with self.http.post(f"{self.url}/report/{upload}") as answer:
            assert answer.status == 200

    async def download(self, path: str) -> str:
        """SHA-256 of what comes."""
        digest = hashlib.sha256()
        async with self.http.get(f"{self.url}/oss/{SPACE}/{path}") as answer:
            assert answer.status == 200
            async for chunk in answer.content.iter_any():
                digest.update(chunk)
        return digest.hexdigest()


@pytest.fixture
async def program(tmp_path: Path) -> AsyncIterator[Program]:
    folders = [tmp_path / name for name in ("served", "signer")]
    for folder in folders:
        folder.mkdir()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.file_program",
        str(folders[0]),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        async with ClientSession(timeout=ClientTimeout(total=120)) as http:
            yield Program(port, make_stand(folders[1]), http)
        process.stdin.close()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def pieces() -> AsyncIterator[bytes]:
    for _ in range(MAX_BYTES >> 20):
        yield PIECE


async def test_100_mb_both_ways_in_little_memory(program: Program) -> None:
    await upload_small(program)
    before = await program.peak()

    query = program.signer.put_query("put", "application/octet-stream")
    headers = {"Content-Type": "application/octet-stream"}
    url = f"{program.url}/oss/{SPACE}/put?{query}"
    async with program.http.put(url, data=pieces(), headers=headers) as answer:
        assert answer.status == 200
    await program.report()

    async def whole_form() -> AsyncIterator[bytes]:
        head, tail = form(program.signer.fields("form"), b"<>").split(b"<>")
        yield head
        async for piece in pieces():
            yield piece
        yield tail

    headers = {"Content-Type": FORM_TYPE}
    async with program.http.post(
        f"{program.url}/oss", data=whole_form(), headers=headers
    ) as answer:
        assert answer.status == 200
    await program.report()
    uploaded = await program.peak()

    assert await asyncio.gather(*map(program.download, ("put", "form"))) == [DIGEST, DIGEST]
    downloaded = await program.peak()
    mib = [round(peak / (1 << 20), 1) for peak in (before, uploaded, downloaded)]
    print(
        f"peak RSS in MiB: {mib[0]} at first, {mib[1]} after 200 MiB in, {mib[2]} after 200 MiB out"
    )
    assert downloaded - before < RISE_MAX_BYTES


async def upload_small(program: Program) -> None:
    """What is loaded once is loaded now."""
    body = form(program.signer.fields("small"), b"small")
    headers = {"Content-Type": FORM_TYPE}
    async with program.http.post(f"{program.url}/oss", data=body, headers=headers) as answer:
        assert answer.status == 200
    await program.report()
    await program.download("small")


# --- curl -------------------------------------------------------------------------------------


async def curl(*arguments: str) -> tuple[int, bytes]:
    """Exit code and output."""
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--max-time", "60", *arguments, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output


@needs_curl
async def test_curl_puts_gets_and_resumes(program: Program, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content)
    query = program.signer.put_query("目录/a b.bin", "text/plain")
    url = f"{program.url}/oss/{SPACE}/%E7%9B%AE%E5%BD%95/a%20b.bin"
    code, output = await curl(
        "-v", "-T", str(source), "-H", "Content-Type: text/plain", f"{url}?{query}"
    )
    assert (code, output) == (0, b"")
    await program.report()

    target.write_bytes(content[:1_000_000])
    assert (await curl("-C", "-", "-o", str(target), url))[0] == 0
    assert target.read_bytes() == content
    assert await curl("-r", "5-9", url) == (0, content[5:10])
    etag = hashlib.md5(content, usedforsecurity=False).hexdigest().upper()
    unchanged = ("-w", "%{http_code}", "-H", f'If-None-Match: "{etag}"', url)
    assert await curl(*unchanged) == (0, b"304")


@needs_curl
@pytest.mark.parametrize("expect", ["Expect: 100-continue", "Expect:"])
@pytest.mark.parametrize("length", ["Transfer-Encoding: chunked", "X-Nothing: x"])
async def test_curl_is_told_why_it_is_refused(
    program: Program, tmp_path: Path, expect: str, length: str
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3_000_000)
    url = f"{program.url}/oss/{SPACE}/a?Signature=x&Expires=1"
    code, output = await curl(
        "-T", str(source), "-H", expect, "-H", length, "-w", "%{http_code}", url
    )
    assert code == 0
    assert b"SignatureDoesNotMatch" in output
    assert output.endswith(b"403")


@needs_curl
async def test_curl_posts_a_form(program: Program, tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    source.write_bytes(b"x" * 2_000_000)
    fields = [f"{name}={value}" for name, value in program.signer.fields("a").items()]
    arguments = [part for field in fields for part in ("--form-string", field)]
    code, output = await curl(*arguments, "-F", f"file=@{source}", f"{program.url}/oss")
    assert (code, output) == (0, b"")
    await program.report()
    expected = hashlib.sha256(source.read_bytes()).hexdigest()
    assert await program.download("a") == expected
