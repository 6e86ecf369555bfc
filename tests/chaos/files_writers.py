"""Callers that upload, overwrite, report and delete files of a space until the program dies."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import ClientSession, ClientTimeout

from runtime.files.paths import file_id_of
from tests.chaos.files_history import History, Kind, Told
from tests.chaos.files_surfaces import (
    CUT,
    Keys,
    Pace,
    Reached,
    Signed,
    Surface,
    client_surface,
    management_surface,
    server_surface,
)

REQUEST_S = 20.0
"""No request takes longer."""
_OWN, _SHARED = 3, 4
"""Files of one writer, and files that all but apps write."""
_KIB = 1024
_SIZES = (
    (0, 0),
    (1, 1),
    (2, 4 * _KIB),
    (60 * _KIB, 70 * _KIB),
    (100 * _KIB, 1024 * _KIB),
    (1024 * _KIB, 4096 * _KIB),
)
"""Bytes, from and to: one kind in six each."""
_WEIGHTS = (55, 12, 8, 25)
"""Of uploads with their report, uploads alone, reports alone, deletions."""
_PACES = (Pace(), Pace(), Pace(8, 0.002), Pace(16, 0.01))

_Open = Callable[[Reached, Keys], Awaitable[Surface]]
_SURFACES: tuple[_Open, ...] = (server_surface, management_surface, client_surface)


@dataclass(slots=True, kw_only=True)
class Written:
    """What the callers of all rounds know."""

    history: History = field(default_factory=History)
    codes: Counter[str] = field(default_factory=Counter)
    """Of answers that were errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The space that is written to."""

    endpoint: str
    space_id: str
    keys: Keys


class Writer:
    """One caller, which has one request under way at a time."""

    def __init__(
        self, place: Place, written: Written, paths: list[str], opens: _Open, dice: random.Random
    ) -> None:
        self._place = place
        self._written = written
        self._paths = paths
        self._opens = opens
        self._dice = dice

    async def write(self) -> None:
        """Until the connection is lost."""
        dice = self._dice
        ways = (self._upload, self._upload_only, self._report_only, self._delete)
        try:
            async with ClientSession(timeout=ClientTimeout(total=REQUEST_S)) as http:
                reached = Reached(
                    http=http,
                    endpoint=self._place.endpoint,
                    space_id=self._place.space_id,
                    codes=self._written.codes,
                )
                surface = await self._opens(reached, self._place.keys)
                while True:
                    [way] = dice.choices(ways, _WEIGHTS)
                    await way(surface, dice.choice(self._paths))
        except CUT:
            return

    async def _upload(self, surface: Surface, path: str) -> None:
        signed = await self._upload_only(surface, path)
        if signed is not None:
            await self._ask(path, Kind.REPORT, surface.report(signed.file_id))

    async def _upload_only(self, surface: Surface, path: str) -> Signed | None:
        """None: nothing was stored, as far as is known."""
        data = self._dice.randbytes(self._dice.randint(*self._dice.choice(_SIZES)))
        signed = await surface.sign(path, len(data))
        if signed is None:
            return None
        sending = surface.upload(signed, data, self._dice.choice(_PACES))
        told = await self._ask(path, Kind.UPLOAD, sending, data)
        return signed if told is Told.DONE else None

    async def _report_only(self, surface: Surface, path: str) -> None:
        file_id = file_id_of(self._place.space_id, path)
        await self._ask(path, Kind.REPORT, surface.report(file_id))

    async def _delete(self, surface: Surface, path: str) -> None:
        file_id = file_id_of(self._place.space_id, path)
        await self._ask(path, Kind.DELETE, surface.delete(file_id))

    async def _ask(self, path: str, kind: Kind, answer: Awaitable[Told], data: bytes = b"") -> Told:
        digest = hashlib.sha256(data).hexdigest() if kind is Kind.UPLOAD else ""
        history = self._written.history
        request = history.begin(path, kind, time.monotonic(), digest=digest, size=len(data))
        told = await answer
        history.end(request, told, time.monotonic())
        return told


def start_writers(
    group: asyncio.TaskGroup,
    place: Place,
    written: Written,
    *,
    number: int,
    count: int,
    dice: random.Random,
) -> list[asyncio.Task[None]]:
    """`count` of them, backends, management and apps in turn. Apps write files of their own: each round's
    users are new ones, who may not touch those of others."""
    tasks = []
    shared = [f"共享 files/{index}.bin" for index in range(_SHARED)]
    for index in range(count):
        opens = _SURFACES[index % len(_SURFACES)]
        if opens is client_surface:
            paths = [f"apps/{number}-{index}/{each}.png" for each in range(_OWN)]
        else:
            paths = [*shared, *(f"backends/{index}/{each}.bin" for each in range(_OWN))]
        writer = Writer(place, written, paths, opens, random.Random(dice.random()))
        tasks.append(group.create_task(writer.write(), name=f"writer {number}-{index}"))
    return tasks
