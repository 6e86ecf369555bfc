"""How many database commands are under way in one process, and who waits for how long.

One space with many heavy commands must take the database away from no other. So each space has room for a
few; what comes beyond waits in a line, functions and backends of the space in one, its clients in another,
and a place that gets free goes to the line that had none for the longest time. Lines are short and nobody
waits long: a burst of quick commands passes, a flood is refused.

Commands in open transactions have a room of their own. They hold what others wait for: behind those they
would never be reached.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from runtime.documents.room import Room, RoomBounds
from runtime.errors import OverloadedError

_Line = dict[asyncio.Future[None], None]
"""In order; a dict, because who gives up leaves from the middle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRoomBounds(RoomBounds):
    """The settings `database_commands_*`."""

    waiting: int
    """Commands of one space in each of its two lines."""
    wait_ms: int
    """In a line. The command's own time begins afterwards."""


class CommandRoom:
    """See the module. For the tasks of one event loop."""

    def __init__(self, bounds: CommandRoomBounds) -> None:
        self._bounds = bounds
        self._room = Room(bounds)
        self._lines: OrderedDict[tuple[str, bool], _Line] = OrderedDict()
        """Those in which somebody waits, by space and `client`; the first one is the next one. Nobody waits
        while there is room for them."""

    @asynccontextmanager
    async def hold(self, space_id: str, *, client: bool) -> AsyncIterator[None]:
        """Room for one command as long as the context lasts. `client`: not a function or a backend.

        Raises OverloadedError when the line is full or none got free in time; nothing was done then."""
        if self._room.reached(space_id, client=client) is None:
            self._room.take(space_id, client=client)
        else:
            await self._wait(space_id, client)
        try:
            yield
        finally:
            self._leave(space_id, client=client)

    async def _wait(self, space_id: str, client: bool) -> None:  # noqa: FBT001
        line = self._lines.setdefault((space_id, client), {})
        if len(line) >= self._bounds.waiting:
            raise OverloadedError(
                f"{self._why(space_id, client=client)}, and {len(line)} wait already"
                " (YUNHAN_DATABASE_COMMANDS_WAITING_MAX); send fewer at once, or try again later"
            )
        wait_ms = self._bounds.wait_ms
        place = asyncio.get_running_loop().create_future()
        line[place] = None
        try:
            async with asyncio.timeout(wait_ms / 1000):
                await place  # whoever admits it has taken the room for it
        except BaseException as error:
            if place.done() and not place.cancelled():
                self._leave(space_id, client=client)
            else:
                self._take_out(space_id, client, place)
            if isinstance(error, TimeoutError):
                raise OverloadedError(
                    f"{self._why(space_id, client=client)}, and none of them ended in {wait_ms} ms"
                    " (YUNHAN_DATABASE_COMMANDS_WAIT_MS); send fewer or shorter ones at once, or try again"
                    " later"
                ) from None
            raise

    def _why(self, space_id: str, *, client: bool) -> str:
        reached = self._room.reached(space_id, client=client)
        if reached is None:  # a place got free in the same moment
            return f"space {space_id} has to wait with a database command"
        return (
            f"space {space_id} has to wait with a database command: {reached.taken} are under way here"
            f" (YUNHAN_DATABASE_COMMANDS_{reached.setting})"
        )

    def _leave(self, space_id: str, *, client: bool) -> None:
        self._room.leave(space_id, client=client)
        self._admit()

    def _admit(self) -> None:
        """The next one for whom there is room: after one left there is none for two. Few lines are passed
        over: those of spaces that have all of theirs, and of clients when these have all of theirs."""
        if self._room.is_full:
            return
        for (space_id, client), line in self._lines.items():
            if self._room.reached(space_id, client=client) is not None:
                continue
            place = next((each for each in line if not each.done()), None)
            if place is not None:
                self._room.take(space_id, client=client)
                self._lines.move_to_end((space_id, client))
                self._take_out(space_id, client, place)
                place.set_result(None)
                return

    def _take_out(self, space_id: str, client: bool, place: asyncio.Future[None]) -> None:  # noqa: FBT001
        line = self._lines.get((space_id, client), {})
        line.pop(place, None)
        if not line:
            self._lines.pop((space_id, client), None)


@dataclass(frozen=True, slots=True)
class CommandRooms:
    """All of one process. Each by the same bounds."""

    plain: CommandRoom
    in_transactions: CommandRoom

    @classmethod
    def of(cls, bounds: CommandRoomBounds) -> CommandRooms:
        """Nothing is under way."""
        return cls(CommandRoom(bounds), CommandRoom(bounds))

    @staticmethod
    def at_once_max(bounds: CommandRoomBounds) -> int:
        """Commands under way in both."""
        return 2 * bounds.total
