"""A gateway for files alone, as a process of its own: `python -m tests.integration.file_program FOLDER`.

Prints its port. Beside the routes of files: `POST /report/{upload}` makes a stored upload a file, `GET /peak`
says the most memory that the process ever had, in bytes. Ends when its input does.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from runtime.messages import FileRecord
from tests.unit.gateway.file_stand import FileStand, StandBounds, make_stand, serving

MAX_BYTES = 100 << 20


async def main(folder: Path) -> None:
    stand = make_stand(folder, bounds=StandBounds(max_bytes=MAX_BYTES), store_url="file:")
    stand.app.router.add_get("/peak", peak)
    stand.app.router.add_post("/report/{upload}", reporting(stand))
    async with serving(stand) as port:
        print(port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def peak(_request: web.Request) -> web.Response:
    return web.Response(text=str(peak_bytes()))


def peak_bytes() -> int:
    """`getrusage` would begin with what the parent had before it became this program."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def reporting(stand: FileStand) -> Handler:
    async def report(request: web.Request) -> web.Response:
        upload = await stand.records.read_upload(request.match_info["upload"])
        assert upload is not None
        await stand.records.put(
            FileRecord(
                space_id=upload.space_id,
                file_id=upload.file_id,
                path=upload.path,
                owner_id=upload.owner_id,
                blob=upload.blob,
                created_ms=stand.clock.now_ms(),
                modified_ms=stand.clock.now_ms(),
            ),
            expected_version=None,
        )
        return web.Response()

    return report


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
