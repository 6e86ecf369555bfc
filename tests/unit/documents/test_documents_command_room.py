"""How many database commands are under way, and who waits."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from runtime.documents.command_room import CommandRoom, CommandRoomBounds, CommandRooms
from runtime.errors import OverloadedError

HOUR_MS = 3_600_000


def room(
    *,
    per_space: int = 2,
    total: int = 3,
    reserved: int = 0,
    waiting: int = 5,
    wait_ms: int = HOUR_MS,
) -> CommandRoom:
    return CommandRoom(
        CommandRoomBounds(
            per_space=per_space,
            total=total,
            reserved_percent=reserved,
            waiting=waiting,
            wait_ms=wait_ms,
        )
    )


class Commands:
    """What is under way, in the order in which it got there; each goes on until it is let go."""

    def __init__(self, rooms: CommandRoom) -> None:
        self.rooms = rooms
        self.under_way: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self, name: str, *, client: bool = True, fails: bool = False) -> None:
        """`name`: the space and a number, as `a1`. Returns when it is under way or waits."""

        async def run() -> None:
            async with self.rooms.hold(name[0], client=client):
                self.under_way.append(name)
                try:
                    await self._ends[name].wait()
                    if fails:
                        raise RuntimeError("it failed")
                finally:
                    self.under_way.remove(name)

        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(run(), name=name)
        await turn()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await turn()

    async def cancel(self, name: str) -> None:
        self.tasks[name].cancel()
        await turn()


async def turn() -> None:
    """Let everything come as far as it can."""
    for _ in range(6):
        await asyncio.sleep(0)


def is_empty(rooms: CommandRoom) -> bool:
    """Nothing is left of whoever was there: there is no end of spaces."""
    fresh = CommandRoom(rooms._bounds)
    return repr(vars(rooms._room)) == repr(vars(fresh._room)) and not rooms._lines


async def test_what_has_room_does_not_wait_and_the_rest_gets_it_in_order() -> None:
    commands = Commands(room(per_space=2, total=9))
    for name in ("a1", "a2", "a3", "a4"):
        await commands.start(name)
    assert commands.under_way == ["a1", "a2"]
    await commands.end("a2")
    assert commands.under_way == ["a1", "a3"]
    await commands.end("a1")
    assert commands.under_way == ["a3", "a4"]


async def test_a_full_space_keeps_no_other_out() -> None:
    commands = Commands(room(per_space=2, total=3))
    for name in ("a1", "a2", "a3", "a4", "b1"):
        await commands.start(name)
    assert commands.under_way == ["a1", "a2", "b1"]


async def test_spaces_take_turns_however_many_of_each_wait() -> None:
    commands = Commands(room(per_space=1, total=1))
    for name in ("a0", "a1", "a2", "a3", "b1", "c1", "b2"):
        await commands.start(name)
    came = []
    while commands.under_way:
        came += commands.under_way
        await commands.end(commands.under_way[0])
    assert came == ["a0", "a1", "b1", "c1", "a2", "b2", "a3"]
    assert is_empty(commands.rooms)


async def test_clients_leave_room_to_functions_and_backends() -> None:
    commands = Commands(room(per_space=4, total=4, reserved=25))
    for name in ("a1", "a2", "a3", "a4"):
        await commands.start(name)
    assert commands.under_way == ["a1", "a2", "a3"]
    await commands.start("a5", client=False)
    assert commands.under_way == ["a1", "a2", "a3", "a5"]
    await commands.end("a5")
    assert "a4" not in commands.under_way
    await commands.end("a1")
    assert "a4" in commands.under_way


async def test_who_waits_too_long_is_refused_and_told_why() -> None:
    rooms = room(per_space=1, wait_ms=1)
    async with rooms.hold("a", client=True):
        with pytest.raises(
            OverloadedError, match=r"space a .* 1 are under way .*PER_SPACE_MAX.* 1 ms"
        ) as told:
            async with rooms.hold("a", client=True):
                pytest.fail("there was no room")
    assert told.value.code == "Throttling.Api.Concurrency"
    assert is_empty(rooms)


async def test_a_line_has_a_bound_of_its_own_for_each_space_and_kind() -> None:
    commands = Commands(room(per_space=1, total=1, waiting=2))
    for name in ("a0", "a1", "a2", "b1", "b2"):
        await commands.start(name)
    await commands.start("a3", client=False)
    with pytest.raises(OverloadedError, match=r"2 wait already .*COMMANDS_WAITING_MAX"):
        async with commands.rooms.hold("a", client=True):
            pytest.fail("the line is full")
    assert commands.under_way == ["a0"]


async def test_who_gives_up_while_waiting_leaves_nothing_and_is_passed_over() -> None:
    commands = Commands(room(per_space=1))
    for name in ("a1", "a2", "a3"):
        await commands.start(name)
    await commands.cancel("a2")
    await commands.end("a1")
    assert commands.under_way == ["a3"]
    await commands.end("a3")
    assert is_empty(commands.rooms)


async def test_who_gives_up_in_the_moment_of_getting_room_gives_it_back() -> None:
    rooms = room(per_space=1)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(rooms.hold("a", client=True))
        waiting = asyncio.create_task(rooms.hold("a", client=True).__aenter__())
        await turn()
        await stack.aclose()  # it is admitted, and has not run yet
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert is_empty(rooms)


async def test_transactions_have_a_room_of_their_own() -> None:
    rooms = CommandRooms.of(
        CommandRoomBounds(per_space=1, total=1, reserved_percent=0, waiting=1, wait_ms=1)
    )
    async with rooms.plain.hold("a", client=True), rooms.in_transactions.hold("a", client=True):
        with pytest.raises(OverloadedError):
            await rooms.plain.hold("a", client=True).__aenter__()


@pytest.mark.parametrize("seed", range(20))
async def test_bounds_hold_and_no_room_is_lost_whatever_happens(seed: int) -> None:
    generator = random.Random(seed)
    commands = Commands(room(per_space=3, total=5, reserved=34, waiting=4))
    clients: set[str] = set()
    for number in range(300):
        open_ones = [name for name, task in commands.tasks.items() if not task.done()]
        step = generator.random()
        if step < 0.55 or not open_ones:
            name = f"{generator.choice('abcd')}{number}"
            client = generator.random() < 0.6
            clients |= {name} if client else set()
            await commands.start(name, client=client, fails=generator.random() < 0.2)
        elif step < 0.8 and commands.under_way:
            await commands.end(generator.choice(commands.under_way))
        else:
            await commands.cancel(generator.choice(open_ones))
        check(commands, clients)
    while commands.under_way:
        await commands.end(commands.under_way[0])
        check(commands, clients)
    assert all(task.done() for task in commands.tasks.values()), "somebody waits for ever"
    assert is_empty(commands.rooms)
    errors = {type(task.exception()) for task in commands.tasks.values() if not task.cancelled()}
    assert {type(None), RuntimeError} <= errors <= {type(None), RuntimeError, OverloadedError}


def check(commands: Commands, clients: set[str]) -> None:
    """The bounds hold, and nobody waits for whom there is room."""
    under_way = commands.under_way
    of_clients = [name for name in under_way if name in clients]
    spaces, spaces_of_clients = (
        Counter(name[0] for name in names) for names in (under_way, of_clients)
    )
    assert len(under_way) <= 5
    assert len(of_clients) <= 4
    assert max(spaces.values(), default=0) <= 3
    assert max(spaces_of_clients.values(), default=0) <= 2
    for name, task in commands.tasks.items():
        if task.done() or name in under_way:
            continue
        free = len(under_way) < 5 and spaces[name[0]] < 3
        if name in clients:
            free = free and len(of_clients) < 4 and spaces_of_clients[name[0]] < 2
        assert not free, f"{name} waits beside free room"
