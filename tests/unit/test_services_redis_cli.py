"""What functions may send to Redis, and what is made of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import CallerError, OverloadedError
from runtime.ports.redis import RedisCommands, RedisValue
from runtime.services.redis_cli import RedisCli, RedisCliLimits
from runtime.services.redis_table import COMMANDS, Keys
from runtime.settings.redis import RedisSettings

LIMITS = RedisCliLimits.from_settings(RedisSettings())
PREFIX = b"y:space:mp-1:"


class Recording(RedisCommands):
    """Keeps what it was sent; answers once `open` is set."""

    def __init__(self, answer: RedisValue = b"OK") -> None:
        self.answer = answer
        self.sent: list[list[bytes]] = []
        self.removed: list[bytes] = []
        self.open = asyncio.Event()
        self.open.set()

    async def call(self, command: Sequence[bytes]) -> RedisValue:
        self.sent.append(list(command))
        await self.open.wait()
        return self.answer

    async def remove(self, prefix: bytes) -> int:
        self.removed.append(prefix)
        return 0


@pytest.fixture
def redis() -> Recording:
    return Recording()


@pytest.fixture
def cli(redis: Recording) -> RedisCli:
    return RedisCli(redis, prefix="y", limits=LIMITS)


async def code_of(cli: RedisCli, commands: Any) -> str:
    with pytest.raises(CallerError) as raised:
        await cli.run("mp-1", {"commands": commands})
    return raised.value.code


@pytest.mark.parametrize(
    ("command", "places"),
    [
        (["GET", "k"], [1]),
        (["get", "k"], [1]),
        (["SET", "k", "v", "EX", 10], [1]),
        (["DEL", "a", "b", "c"], [1, 2, 3]),
        (["MSET", "a", "1", "b", "2"], [1, 3]),
        (["MSET", "a", "1", "b"], [1, 3]),
        (["RENAME", "a", "b"], [1, 2]),
        (["SMOVE", "a", "b", "c"], [1, 2]),
        (["ZUNIONSTORE", "d", 2, "a", "b", "WEIGHTS", 1, 2], [1, 3, 4]),
        (["ZINTERSTORE", "d", "1", "a"], [1, 3]),
        (["HSET", "h", "a", "b"], [1]),
        (["LMOVE", "a", "b", "LEFT", "RIGHT"], [1, 2]),
        (["GET"], []),
        (["PING"], []),
        (["GET", ""], [1]),
    ],
)
async def test_keys_get_the_prefix_of_the_space(
    cli: RedisCli, redis: Recording, command: list[Any], places: list[int]
) -> None:
    assert await cli.run("mp-1", {"commands": command}) == b'"OK"'
    expected = [str(each).encode() for each in command]
    expected[0] = expected[0].upper()
    for place in places:
        expected[place] = PREFIX + expected[place]
    assert redis.sent == [expected]


@pytest.mark.parametrize(
    "name",
    [
        *("KEYS", "SCAN", "EVAL", "EVALSHA", "FCALL", "SCRIPT", "FLUSHALL", "FLUSHDB", "CONFIG", "SAVE"),
        *("SUBSCRIBE", "PSUBSCRIBE", "PUBLISH", "BLPOP", "BRPOP", "BLMOVE", "BZPOPMIN", "XREAD", "WAIT"),
        *("SORT", "SORT_RO", "RANDOMKEY", "LMPOP", "ZMPOP", "COPY", "MOVE", "SELECT", "SWAPDB", "DUMP"),
        *("RESTORE", "MIGRATE", "OBJECT", "MULTI", "EXEC", "WATCH", "AUTH", "HELLO", "CLIENT", "QUIT"),
        *("MONITOR", "DEBUG", "SHUTDOWN", "SLAVEOF", "REPLICAOF", "ACL", "MODULE", "INFO", "DBSIZE"),
        *("BITFIELD", "BITOP", "LCS", "GEORADIUS", "", "GET ", "G\u0000T", "\ud800", "\u017fET", "GET k"),
    ],
)  # fmt: skip
async def test_other_commands_are_refused(cli: RedisCli, redis: Recording, name: str) -> None:
    assert await code_of(cli, [name, "k", "v"]) == "RedisCommandNotAllowed"
    assert redis.sent == []


@pytest.mark.parametrize(
    "commands",
    [
        *(None, "GET k", {}, [], [["GET", "k"]], ["GET", None], ["GET", True], ["GET", {}]),
        ["GET"] * 1001,
        ["ZUNIONSTORE", "d"],
        ["ZUNIONSTORE", "d", "0", "a"],
        ["ZUNIONSTORE", "d", "2", "a"],
        ["ZUNIONSTORE", "d", "-1", "a"],
        ["ZUNIONSTORE", "d", "x", "a"],
        ["ZUNIONSTORE", "d", "٢", "a", "b"],
        ["ZUNIONSTORE", "d", "9" * 400, "a"],
        ["ZUNIONSTORE", "d", "02", "a", "b"],
        ["ZUNIONSTORE", "d", "0000000002", "a", "b"],
        ["ZUNIONSTORE", "d", "1000000000", "a"],
        ["SRANDMEMBER", "s", -1],
        ["HRANDFIELD", "h", -10_000, "WITHVALUES"],
        ["ZRANDMEMBER", "z", "-2", "WITHSCORES"],
        ["MGET", "a", "b", "a"],
        ["MGET", 1, "1"],
        ["HMGET", "h", "f", "f"],
        ["SUNIONSTORE", "d", "s", "s"],
        ["SINTER", "s", "t", "s"],
        ["PFMERGE", "d", "a", "a"],
        ["ZINTERSTORE", "d", 2, "a", "a", "AGGREGATE", "MAX"],
        ["MGET", *range(101)],
        ["HMGET", "h", *range(101)],
        ["SDIFF", *range(17)],
        ["SUNIONSTORE", "d", *range(17)],
        ["PFCOUNT", *range(17)],
        ["ZDIFFSTORE", "d", 17, *range(17)],
        ["SRANDMEMBER", "s", "-999999999999999999999999"],
        ["HRANDFIELD", "h", 10_001],
        ["LPOP", "l", 10_001],
        ["SETRANGE", "k", 536_870_911, "x"],
        ["SETBIT", "k", 4_294_967_295, 1],
        ["HSCAN", "h", 0, "match", "*a*"],
        ["SSCAN", "h", 0, "COUNT", 10, "MATCH", "*a*"],
    ],
)
async def test_what_is_malformed_or_unbounded_is_refused(
    cli: RedisCli, redis: Recording, commands: Any
) -> None:
    assert await code_of(cli, commands) == "InvalidParameter.commands"
    assert redis.sent == []


async def test_what_is_too_large_is_refused(cli: RedisCli, redis: Recording) -> None:
    large = ["SET", "k", "x" * (LIMITS.command_max_bytes)]
    assert await code_of(cli, large) == "RequestContentLength.Exceeded"
    assert redis.sent == []


async def test_bounded_numbers_that_fit_are_sent(cli: RedisCli, redis: Recording) -> None:
    for command in (
        ["SRANDMEMBER", "s", 10_000],
        ["SETRANGE", "k", LIMITS.command_max_bytes, "x"],
        ["HSCAN", "match", 0, "COUNT", 10],
        ["LPOP", "l", "many"],
        ["MGET", *range(100)],
        ["HMGET", "f", "f", *range(99)],
        ["SUNIONSTORE", "d", "d", *range(15)],
        ["ZUNIONSTORE", "d", 16, "d", *range(15), "WEIGHTS", *[1] * 16],
        ["DEL", "a", "a"],
        ["HSET", "h", "f", 1, "f", 2],
    ):
        await cli.run("mp-1", {"commands": command})
        assert len(redis.sent.pop()) == len(command)


async def test_answers_are_json(cli: RedisCli, redis: Recording) -> None:
    redis.answer = [b"a\xff", None, -(2**63), [b"1.5", [], "字".encode()]]
    answer = await cli.run("mp-1", {"commands": ["HGETALL", "h"]})
    assert json.loads(answer) == ["a\ufffd", None, -(2**63), ["1.5", [], "字"]]


async def test_numbers_are_sent_as_texts(cli: RedisCli, redis: Recording) -> None:
    await cli.run("mp-1", {"commands": ["RPUSH", 1, 1.5, 2**70, "\ud800", "字"]})
    assert redis.sent[0][1:] == [*(PREFIX + b"1", b"1.5", str(2**70).encode(), b"?", "字".encode())]


async def test_without_a_redis_it_says_what_to_set() -> None:
    cli = RedisCli(None, prefix="y", limits=LIMITS)
    with pytest.raises(CallerError, match="YUNHAN_REDIS_URL") as raised:
        await cli.run("mp-1", {"commands": ["GET", "k"]})
    assert raised.value.code == "ServiceNotAvailable"
    await cli.remove_space("mp-1")


async def test_a_space_takes_its_share_and_the_worker_its_bound(redis: Recording) -> None:
    limits = replace(LIMITS, under_way_max=3, under_way_max_per_space=2)
    cli = RedisCli(redis, prefix="y", limits=limits)
    redis.open.clear()
    async with asyncio.TaskGroup() as tasks:

        async def sent(count: int) -> None:
            while len(redis.sent) < count:
                await asyncio.sleep(0)

        async def refused(space_id: str) -> None:
            with pytest.raises(OverloadedError):
                await cli.run(space_id, {"commands": ["GET", "k"]})

        first = tasks.create_task(cli.run("a", {"commands": ["GET", "k"]}))
        tasks.create_task(cli.run("a", {"commands": ["GET", "k"]}))
        await sent(2)
        await refused("a")
        tasks.create_task(cli.run("b", {"commands": ["GET", "k"]}))
        await sent(3)
        await refused("b")
        await refused("c")
        first.cancel()
        await asyncio.wait([first])
        tasks.create_task(cli.run("c", {"commands": ["GET", "k"]}))
        await sent(4)
        redis.open.set()
    await cli.run("a", {"commands": ["GET", "k"]})


async def test_a_space_is_removed_by_its_prefix(cli: RedisCli, redis: Recording) -> None:
    await cli.remove_space("mp-1")
    assert redis.removed == [PREFIX]


@given(
    name=st.sampled_from(sorted(COMMANDS)),
    arguments=st.lists(st.one_of(st.text(max_size=8), st.integers(-3, 9)), max_size=9),
)
def test_no_command_names_a_key_outside_its_space(name: str, arguments: list[Any]) -> None:
    """Of what is sent, each argument is either as it came or with the prefix, and the first key has it."""
    redis = Recording()
    cli = RedisCli(redis, prefix="y", limits=LIMITS)
    try:
        cli.run("mp-1", {"commands": [name, *arguments]}).send(None)  # it waits for nothing
    except CallerError:
        assert redis.sent == []
        return
    except StopIteration:
        pass
    (sent,) = redis.sent
    came = [str(each).encode("utf-8", "replace") for each in arguments]
    assert all(now in {then, PREFIX + then} for now, then in zip(sent[1:], came, strict=True))
    if COMMANDS[name] is not Keys.NONE and came:
        assert sent[1] == PREFIX + came[0]
