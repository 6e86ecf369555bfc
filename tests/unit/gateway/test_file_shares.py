"""Who gets how much of the room for uploads and downloads."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import make_mocked_request

from runtime.errors import OverloadedError
from runtime.files.paths import file_id_of
from runtime.gateway.files.shares import UploadShares, client_share, unknown_client
from runtime.gateway.under_way import UnderWay
from runtime.services.file_uploads import Grant
from runtime.settings import Settings
from tests.harness.clock import FakeClock
from tests.harness.doors import open_door
from tests.harness.polling import until
from tests.unit.gateway.file_stand import (
    FORM_TYPE,
    SPACE,
    FileStand,
    StandBounds,
    form,
    make_stand,
    serving,
)

SHARES = UploadShares(
    at_once_max=16, per_space_max=8, per_user_max=2, per_client_max=4, reserved_percent=25
)
_numbers = itertools.count()


class Room:
    """Takes room for good, as clients that never end."""

    def __init__(self, stack: ExitStack, shares: UploadShares = SHARES) -> None:
        self._under_way = UnderWay(
            shares.at_once_max, what="uploads", setting="MAX", clock=FakeClock()
        )
        self._shares = shares
        self._stack = stack

    def take(self, space: str, user: str | None, client: str | None) -> bool:
        """Whether there was room. No user: the trusted side of the space."""
        grant = Grant(
            upload_id=str(next(_numbers)),
            space_id=space,
            file_id=file_id_of(space, "a"),
            path="a",
            owner_id=user,
            trusted=user is None,
            max_bytes=1,
            expires_ms=1,
            left_s=1,
        )
        try:
            self._stack.enter_context(self._under_way.one(*self._shares.of(grant, client)))
        except OverloadedError:
            return False
        return True

    def all_of(self, space: str, user: str | None, client: str | None = None) -> int:
        """How many get in until one is refused."""
        return next(number for number in itertools.count() if not self.take(space, user, client))


@pytest.fixture
def room() -> Iterator[Room]:
    with ExitStack() as stack:
        yield Room(stack)


def test_a_user_gets_no_more_than_his_share(room: Room) -> None:
    assert room.all_of("a", "u") == 2
    assert room.all_of("b", "u") == 2  # another space, another user
    assert room.all_of("a", "v") == 2
    assert room.all_of("a", None) == 4


def test_many_users_at_one_address_count_as_one(room: Room) -> None:
    assert sum(room.all_of("a", f"u{number}", "1.2.3.4") for number in range(10)) == 4
    assert room.all_of("b", "u", "1.2.3.4") == 0
    assert room.all_of("b", "u", "1.2.3.5") == 2
    assert room.all_of("a", None, "1.2.3.4") == 4  # backends of a space behind one address


def test_users_of_a_space_leave_room_to_its_trusted_side_and_to_others(room: Room) -> None:
    assert sum(room.all_of("a", f"u{number}") for number in range(10)) == 6
    assert room.all_of("a", None) == 2
    assert room.all_of("b", "u") == 2


def test_users_of_all_spaces_leave_room_to_the_trusted_sides(room: Room) -> None:
    taken = sum(room.all_of(f"s{number % 7}", f"u{number}") for number in range(50))
    assert taken == 12
    assert room.all_of("z", None) == 4


def test_the_trusted_side_of_a_space_leaves_room_to_others(room: Room) -> None:
    assert room.all_of("a", None) == 8
    assert room.all_of("a", "u") == 0
    assert room.all_of("b", "u") == 2


def test_a_small_room_has_a_place_for_users() -> None:
    tiny = UploadShares(
        at_once_max=1, per_space_max=1, per_user_max=8, per_client_max=0, reserved_percent=90
    )
    with ExitStack() as stack:
        assert Room(stack, tiny).all_of("a", "u", "1.2.3.4") == 1


def test_clients_are_counted_where_they_are_known_and_bounded() -> None:
    assert client_share(unknown_client(None), 4, "X") == []  # type: ignore[arg-type,func-returns-value]
    assert client_share("1.2.3.4", 0, "X") == []
    assert [share.of for share in client_share("", 4, "X")] == [("client", "")]


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", ""),
    ],
)
def test_the_client_of_a_gateway_is_an_address_or_a_network(address: str, key: str) -> None:
    request = make_mocked_request("GET", "/oss/a/b").clone(remote=address)
    assert open_door().client_key(request) == key


def test_by_default_no_space_and_no_user_gets_all() -> None:
    settings = Settings()
    users_of_space = (
        settings.file_uploads_max_per_space
        * (100 - settings.file_uploads_max_reserved_percent)
        // 100
    )
    assert settings.file_uploads_max_per_user < settings.file_uploads_max_per_client
    assert settings.file_uploads_max_per_client < users_of_space
    assert settings.file_uploads_max_per_space < settings.file_uploads_max
    assert settings.file_downloads_max_per_client < settings.file_downloads_max


# --- over HTTP --------------------------------------------------------------------------------


@asynccontextmanager
async def half_sent(stand: FileStand, port: int, owner: str) -> AsyncIterator[None]:
    """A form that does not go on behind the first bytes of its file."""
    before = stand.uploads.count
    body = form(stand.fields(f"h{next(_numbers)}", owner=owner), b"x" * 1000)
    head = (
        f"POST /oss HTTP/1.1\r\nHost: x\r\nX-Client: {owner}\r\nContent-Type: {FORM_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head.encode() + body[:-500])
        await until(lambda: stand.uploads.count == before + 1)
        yield
    finally:
        writer.transport.abort()


async def test_half_sent_forms_of_one_user_stop_nobody_else(tmp_path: Path) -> None:
    bounds = StandBounds(uploads=8, per_space=8, per_user=3, reserved_percent=25)
    stand = make_stand(tmp_path, bounds=bounds)
    async with serving(stand) as port, ClientSession() as http, AsyncExitStack() as stack:
        url = f"http://127.0.0.1:{port}/oss"

        async def post(owner: str) -> int:
            body = form(stand.fields("a", owner=owner), b"abc")
            async with http.post(url, data=body, headers={"Content-Type": FORM_TYPE}) as answer:
                return answer.status

        async def put() -> int:
            path = f"{url}/{SPACE}/p?{stand.put_query('p', '')}"
            async with http.put(path, data=b"", headers={"Content-Type": ""}) as answer:
                return answer.status

        for _ in range(3):
            await stack.enter_async_context(half_sent(stand, port, "bad"))
        assert await post("bad") == 503
        assert await post("good") == 200
        for _ in range(3):
            await stack.enter_async_context(half_sent(stand, port, "worse"))
        assert await post("good") == 503  # the rest is not for users
        assert await put() == 200
        await stack.aclose()
        await until(lambda: stand.uploads.count == 0)
        assert await post("bad") == 200


async def test_a_form_that_comes_too_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = make_stand(tmp_path, bounds=StandBounds(free_s=20, bytes_per_s=1000))
    async with serving(stand) as port:
        body = form(stand.fields("a"), b"x" * 100_000)
        head = (
            f"POST /oss HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM_TYPE}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(head.encode() + body[:2000])
            await until(lambda: stand.uploads.count == 1)
            later = itertools.count(stand.clock.monotonic() + 25, 25)
            monkeypatch.setattr(stand.clock, "monotonic", lambda: next(later))
            writer.write(body[2000:2001])
            assert (await reader.read(1 << 16)).startswith(b"HTTP/1.1 408 ")
        finally:
            writer.transport.abort()
        await until(lambda: stand.uploads.count == 0)
        assert await stand.nothing_left()


async def test_slow_readers_at_one_address_stop_nobody_else(tmp_path: Path) -> None:
    stand = make_stand(tmp_path, bounds=StandBounds(downloads=4, downloads_per_client=2))
    await stand.place("a", b"x" * (8 << 20))
    async with serving(stand) as port, AsyncExitStack() as stack:
        url = f"http://127.0.0.1:{port}/oss/{SPACE}/a"
        http = await stack.enter_async_context(ClientSession(read_bufsize=1024))

        async def get(client: str) -> int:
            """The answer's head; the rest is never read."""
            answer = await http.get(url, headers={"X-Client": client})
            stack.callback(answer.close)
            return answer.status

        assert [await get("slow") for _ in range(3)] == [200, 200, 503]
        assert [await get("other") for _ in range(2)] == [200, 200]
        assert await get("third") == 503
        await stack.aclose()
        await until(lambda: stand.downloads.count == 0)
