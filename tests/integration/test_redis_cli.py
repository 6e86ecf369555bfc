"""`redisCli` over a real Redis: what comes back, what is refused, and what happens when Redis goes away."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtime.backends.redis.connections import (
    RedisConnections,
    RedisSetError,
    RedisUnansweredError,
)
from runtime.backends.redis.options import RedisOptions, RedisSetupError
from runtime.backends.redis_commands import CommandsRedis
from runtime.errors import CallerError, UnavailableError
from runtime.ports import SystemClock
from runtime.services.redis_cli import RedisCli, RedisCliLimits
from runtime.services.redis_table import COMMANDS
from runtime.services.sdk_errors import told_to_strangers
from runtime.settings.redis import RedisSettings
from runtime.tls.local_ca import LocalCa, local_names
from tests.harness.lacking import lacks
from tests.harness.polling import until
from tests.harness.program import free_port
from tests.harness.redis_server import RedisServer, missing_reason

pytestmark = pytest.mark.integration

SETTINGS = RedisSettings()
LIMITS = RedisCliLimits.from_settings(SETTINGS)


class Stand:
    """One installation with a prefix of its own."""

    def __init__(self, connections: RedisConnections) -> None:
        self.prefix = f"test-{uuid.uuid4().hex}"
        self.connections = connections
        self.cli = RedisCli(CommandsRedis(connections), prefix=self.prefix, limits=LIMITS)

    async def run(self, *command: Any, space_id: str = "mp-1") -> Any:
        return json.loads(await self.cli.run(space_id, {"commands": list(command)}))

    async def code_of(self, *command: Any) -> str:
        with pytest.raises(CallerError) as raised:
            await self.run(*command)
        return raised.value.code


def options_of(server: RedisServer, **changes: Any) -> RedisOptions:
    options = RedisOptions(host="127.0.0.1", port=server.port, timeout_s=20)
    return replace(options, **changes)


@pytest.fixture
async def stand(redis_server: RedisServer) -> AsyncIterator[Stand]:
    async with RedisConnections.opened(options_of(redis_server)) as connections:
        yield Stand(connections)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """One that a test may kill."""
    if reason := missing_reason():
        lacks(reason)
    server = RedisServer(tmp_path / "redis")
    try:
        yield server.start()
    finally:
        server.kill()


async def test_answers_are_as_redis_gives_them(stand: Stand) -> None:
    assert await stand.run("SET", "k", "v") == "OK"
    assert await stand.run("get", "k") == "v"
    assert await stand.run("GET", "none") is None
    assert await stand.run("INCR", "n") == 1
    assert await stand.run("INCRBY", "n", 41) == 42
    assert await stand.run("INCRBYFLOAT", "f", 1.5) == "1.5"
    assert await stand.run("HSET", "h", "a", 1, "字", "ü") == 2
    assert await stand.run("HGETALL", "h") == ["a", "1", "字", "ü"]
    assert await stand.run("ZADD", "z", 2, "b", 1, "a") == 2
    assert await stand.run("ZRANGE", "z", 0, -1, "WITHSCORES") == ["a", "1", "b", "2"]
    assert await stand.run("MSET", "a", "1", "b", "2") == "OK"
    assert await stand.run("MGET", "a", "b", "c") == ["1", "2", None]
    assert await stand.run("ZUNIONSTORE", "u", 1, "z", "WEIGHTS", 2) == 2
    assert await stand.run("SSCAN", "s", 0) == ["0", []]
    assert await stand.run("SET", "k", "x", "EX", 100, "NX") is None
    assert await stand.run("PING") == "PONG"
    assert await stand.run("SETBIT", "bits", 0, 1) == 0
    assert await stand.run("GET", "bits") == "\ufffd"  # 0x80 is no UTF-8


async def test_every_key_is_below_the_space(stand: Stand, redis_server: RedisServer) -> None:
    await stand.run("SET", "mine", "1")
    await stand.run("SET", "mine", "2", space_id="mp-2")
    assert await stand.run("GET", "mine") == "1"
    assert sorted(redis_server.command("KEYS", f"{stand.prefix}*").split()) == [
        f"{stand.prefix}:space:mp-1:mine",
        f"{stand.prefix}:space:mp-2:mine",
    ]
    await stand.cli.remove_space("mp-1")
    await stand.cli.remove_space("mp-1")
    assert await stand.run("GET", "mine") is None
    assert await stand.run("GET", "mine", space_id="mp-2") == "2"


async def test_thousands_of_keys_go_with_their_space(
    stand: Stand, redis_server: RedisServer
) -> None:
    for first in range(0, 3000, 500):
        keys = [part for n in range(first, first + 500) for part in (f"k{n}", "v")]
        await stand.run("MSET", *keys[:900])
    await stand.run("SET", "stays", "1", space_id="mp-[1]*")
    await stand.cli.remove_space("mp-1")
    assert redis_server.command("KEYS", f"{stand.prefix}:space:mp-1:*") == ""
    assert await stand.run("GET", "stays", space_id="mp-[1]*") == "1"


async def test_redis_knows_our_key_places(stand: Stand, redis_server: RedisServer) -> None:
    """The server's own table says the same about the first key of each command that we send."""
    names = sorted(COMMANDS)
    answer = await stand.connections.call([b"COMMAND", b"INFO", *(each.encode() for each in names)])
    assert isinstance(answer, list)
    for name, info in zip(names, answer, strict=True):
        assert isinstance(info, list), f"{name} is unknown"
        first, last, step = info[3:6]
        expected = {
            "NONE": (0, 0, 0),
            "FIRST": (1, 1, 1),
            "FIRST_TWO": (1, 2, 1),
            "ALL": (1, -1, 1),
            "EVERY_SECOND": (1, -1, 2),
            "FIRST_AND_COUNTED": (1, 1, 1),
        }[COMMANDS[name].name]
        assert (first, last, step) == expected, name
        flags = info[2]
        assert isinstance(flags, list)
        assert not {b"blocking", b"admin", b"noscript", b"pubsub"}.intersection(
            each for each in flags if isinstance(each, bytes)
        ), name


async def test_what_redis_refuses_is_told_to_the_function(stand: Stand) -> None:
    await stand.run("SET", "text", "x")
    for command in (("LPUSH", "text", "1"), ("INCR", "text"), ("GET",), ("SET", "a", "b", "NO")):
        assert await stand.code_of(*command) == "RedisError"
    assert await stand.run("GET", "text") == "x"


async def test_large_answers_are_refused_and_the_next_one_is_right(
    redis_server: RedisServer,
) -> None:
    options = options_of(redis_server, answer_max_bytes=10_000, answer_items_max=100)
    async with RedisConnections.opened(options) as connections:
        stand = Stand(connections)
        await stand.run("RPUSH", "items", *range(101))
        await stand.run("RPUSH", "fits", *range(100))
        await stand.run("SET", "bytes", "x" * 10_001)
        for _ in range(3):
            assert await stand.code_of("LRANGE", "items", 0, -1) == "RedisAnswerTooLarge"
            assert await stand.code_of("GET", "bytes") == "RedisAnswerTooLarge"
            assert await stand.run("LRANGE", "fits", 0, -1) == [str(n) for n in range(100)]
            assert await stand.run("GETRANGE", "bytes", 0, 3) == "xxxx"


async def test_giant_answers_end_before_they_are_read(redis_server: RedisServer) -> None:
    async with RedisConnections.opened(options_of(redis_server, answer_max_bytes=1000)) as raw:
        stand = Stand(raw)
        key = f"{stand.prefix}:space:mp-1:giant"
        redis_server.command("SETRANGE", key, str(100_000_000), "x")
        assert await stand.code_of("GET", "giant") == "RedisAnswerTooLarge"
        assert await stand.run("STRLEN", "giant") == 100_000_001
        await stand.cli.remove_space("mp-1")


async def test_many_at_once_share_few_connections(redis_server: RedisServer) -> None:
    async with RedisConnections.opened(options_of(redis_server, connections_max=3)) as connections:
        stand = Stand(connections)

        async def one(number: int) -> Any:
            await connections.call([b"SET", f"{stand.prefix}{number}".encode(), b"%d" % number])
            return await connections.call([b"GET", f"{stand.prefix}{number}".encode()])

        answers = await asyncio.gather(*map(one, range(200)))
        assert answers == [b"%d" % number for number in range(200)]


async def test_a_cancelled_command_spoils_no_connection(own_server: RedisServer) -> None:
    async with RedisConnections.opened(options_of(own_server, connections_max=1)) as connections:
        assert await connections.call([b"SET", b"k", b"first"]) == b"OK"
        own_server.freeze()
        asking = asyncio.create_task(connections.call([b"GET", b"k"]))
        for _ in range(20):  # it is sent, and waits for the answer
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        own_server.thaw()
        assert await connections.call([b"ECHO", b"second"]) == b"second"


async def test_a_frozen_redis_is_given_up_in_time_and_used_again(own_server: RedisServer) -> None:
    async with RedisConnections.opened(options_of(own_server, timeout_s=0.2)) as connections:
        stand = Stand(connections)
        assert await stand.run("SET", "k", "v") == "OK"
        own_server.freeze()
        for _ in range(3):
            with pytest.raises((UnavailableError, CallerError), match="answer"):
                await stand.run("GET", "k")
        own_server.thaw()

        async def answers() -> bool:
            try:
                return bool(await stand.run("GET", "k") == "v")
            except (UnavailableError, CallerError):
                return False

        await until(answers, "Redis is used again")


async def test_what_was_sent_without_an_answer_may_have_been_carried_out(
    own_server: RedisServer,
) -> None:
    """A function that repeats it would count twice; what was not sent can be repeated."""
    options = options_of(own_server, timeout_s=0.2, connections_max=1)
    async with RedisConnections.opened(options) as connections:
        stand = Stand(connections)
        assert await stand.run("INCR", "n") == 1
        own_server.freeze()
        sent = asyncio.create_task(stand.code_of("INCR", "n"))
        await asyncio.sleep(0)  # it has the only connection
        with pytest.raises(UnavailableError) as raised:
            await connections.call([b"PING"], timeout_s=0.01)
        assert not isinstance(raised.value, RedisUnansweredError)
        assert await sent == "RedisNoAnswer"
        own_server.thaw()
        key = f"{stand.prefix}:space:mp-1:n"

        async def carried_out() -> bool:
            return own_server.command("GET", key) == "2"

        await until(carried_out, "Redis carries out what it was sent")


async def test_a_connection_that_ends_before_the_answer(own_server: RedisServer) -> None:
    async with RedisConnections.opened(options_of(own_server)) as connections:
        stand = Stand(connections)
        await stand.run("SET", "k", "v")
        own_server.freeze()
        sent = asyncio.create_task(stand.run("INCR", "n"))
        for _ in range(20):  # it is sent, and waits for the answer
            await asyncio.sleep(0)
        own_server.kill()
        with pytest.raises(CallerError, match="may have been carried out") as raised:
            await sent
        assert raised.value.code == "RedisNoAnswer"


async def test_rights_and_memory_of_redis_are_not_blamed_on_the_function(tmp_path: Path) -> None:
    if reason := missing_reason():
        lacks(reason)
    server = RedisServer(
        tmp_path / "redis",
        options=(
            "maxmemory-policy noeviction",
            "user few on nopass ~* +get +set +select",
        ),
    )
    server.start()
    try:
        few = options_of(server, user="few", password="any", connections_max=1)
        async with RedisConnections.opened(few) as connections:
            stand = Stand(connections)
            with pytest.raises(RedisSetError, match="NOPERM"):
                await stand.run("INCR", "n")
        async with RedisConnections.opened(options_of(server, connections_max=1)) as connections:
            stand = Stand(connections)
            await stand.run("SET", "k", "v")
            server.command("CONFIG", "SET", "maxmemory", "1")
            name = await connections.call([b"CLIENT", b"ID"])
            for _ in range(3):
                with pytest.raises(RedisSetError, match="OOM") as raised:
                    await stand.run("SET", "k", "w")
                assert "OOM" not in told_to_strangers(raised.value, "r1")
            assert await stand.run("GET", "k") == "v"
            assert await connections.call([b"CLIENT", b"ID"]) == name, "the connection is kept"
    finally:
        server.kill()


async def test_after_a_kill_the_next_redis_is_used(own_server: RedisServer) -> None:
    async with RedisConnections.opened(options_of(own_server)) as connections:
        stand = Stand(connections)
        await asyncio.gather(*(stand.run("SET", f"k{n}", "v") for n in range(6)))
        own_server.kill()
        with pytest.raises((UnavailableError, CallerError), match="Redis"):
            await stand.run("GET", "k1")  # sent, if the end of the connection is not seen before
        own_server.start()
        assert [await stand.run("GET", "k1") for _ in range(10)] == [None] * 10


async def test_the_password_is_needed_and_told_nobody(tmp_path: Path) -> None:
    if reason := missing_reason():
        lacks(reason)
    server = RedisServer(tmp_path / "redis", password="p/w:@x")
    server.start()
    try:
        file = tmp_path / "password"
        file.write_text("p/w:@x\n")
        settings = RedisSettings(redis_url=server.url, redis_password_file=str(file))
        options = RedisOptions.from_settings(settings)
        assert "p/w" not in repr(options)
        async with RedisConnections.opened(options) as connections:
            assert await connections.call([b"PING"]) == b"PONG"
        for password in (None, "wrong-one"):
            wrong = replace(options, password=password, database=0)
            async with RedisConnections.opened(wrong) as connections:
                with pytest.raises(UnavailableError) as raised:
                    await connections.call([b"PING"])
                assert "wrong-one" not in str(raised.value)
        async with RedisConnections.opened(replace(options, database=999)) as connections:
            with pytest.raises(UnavailableError, match="YUNHAN_REDIS_URL"):
                await connections.call([b"PING"])
        missing = settings.model_copy(update={"redis_password_file": str(tmp_path / "none")})
        with pytest.raises(RedisSetupError, match="YUNHAN_REDIS_PASSWORD_FILE"):
            RedisOptions.from_settings(missing)
    finally:
        server.kill()


async def test_tls_is_verified(tmp_path: Path) -> None:
    if reason := missing_reason():
        lacks(reason)
    ca = LocalCa(tmp_path / "tls", local_names("fn.localhost"), SystemClock())
    pair = ca.server_certificate()
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(pair.chain_pem)
    key.write_bytes(pair.key_pem)
    port = free_port()
    server = RedisServer(
        tmp_path / "redis",
        options=(
            "bind 127.0.0.1 127.0.0.2",
            f"tls-port {port}",
            f"tls-cert-file {chain}",
            f"tls-key-file {key}",
            f"tls-ca-cert-file {ca.ca_path}",
            "tls-auth-clients no",
        ),
    )
    trusting = RedisOptions(
        host="localhost", port=port, tls=True, ca_file=str(ca.ca_path), timeout_s=20
    )
    server.start()
    try:
        async with RedisConnections.opened(trusting) as connections:
            assert await connections.call([b"PING"]) == b"PONG"
        for options in (replace(trusting, ca_file=""), replace(trusting, host="127.0.0.2")):
            async with RedisConnections.opened(options) as connections:
                with pytest.raises(UnavailableError, match=r"(?i)certificate"):
                    await connections.call([b"PING"])
    finally:
        server.kill()
