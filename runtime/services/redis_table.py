"""Which commands functions may send to Redis, and which of their arguments are keys. Pure.

Every key gets the space's prefix, so a command whose keys cannot be told apart, which takes patterns of keys
(KEYS, SORT), answers with keys (RANDOMKEY, LMPOP), waits (BLPOP), runs code, or concerns the connection or
the server is not among them. All connections are shared: there are no transactions and no subscriptions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum, auto

SOURCES_MAX = 16
"""Keys that one command combines: Redis does nothing else meanwhile. Sixteen sets of 100,000 members take it
well below a second."""
VALUES_MAX = 100
"""Values that one command gives by their names. Redis makes the whole answer in its memory before this
program can refuse it: 100 MiB of the longest values that one command sets."""
_NUMBER_OF_KEYS = re.compile(rb"[1-9][0-9]{0,3}")
"""As Redis reads it: without leading zeroes."""


class Keys(Enum):
    """Which arguments are keys."""

    NONE = auto()
    FIRST = auto()
    FIRST_TWO = auto()
    ALL = auto()
    EVERY_SECOND = auto()
    """The first, the third, ..."""
    FIRST_AND_COUNTED = auto()
    """A destination, a number, and so many keys."""


class Bounded(Enum):
    """What the second argument says: a number that may be too large for an answer or for memory."""

    COUNT = auto()
    """Items that come back. A negative number asks for so many of which each may be any: Redis then makes an
    answer much larger than what it stores."""
    BYTE = auto()
    """A place in a text, which grows to it."""
    BIT = auto()


_BY_KEYS = {
    Keys.NONE: "PING",
    Keys.FIRST: (
        "APPEND BITCOUNT DECR DECRBY EXPIRE EXPIREAT EXPIRETIME GET GETBIT GETDEL GETEX GETRANGE GETSET INCR"
        " INCRBY INCRBYFLOAT PERSIST PEXPIRE PEXPIREAT PEXPIRETIME PSETEX PTTL SET SETBIT SETEX SETNX"
        " SETRANGE STRLEN TTL TYPE"
        " HDEL HEXISTS HGET HGETALL HINCRBY HINCRBYFLOAT HKEYS HLEN HMGET HMSET HRANDFIELD HSCAN HSET HSETNX"
        " HSTRLEN HVALS"
        " LINDEX LINSERT LLEN LPOP LPOS LPUSH LPUSHX LRANGE LREM LSET LTRIM RPOP RPUSH RPUSHX"
        " SADD SCARD SISMEMBER SMEMBERS SMISMEMBER SPOP SRANDMEMBER SREM SSCAN"
        " ZADD ZCARD ZCOUNT ZINCRBY ZLEXCOUNT ZMSCORE ZPOPMAX ZPOPMIN ZRANDMEMBER ZRANGE ZRANGEBYLEX"
        " ZRANGEBYSCORE ZRANK ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE ZREVRANGEBYLEX"
        " ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE"
        " PFADD"
    ),
    Keys.FIRST_TWO: "LMOVE RENAME RENAMENX RPOPLPUSH SMOVE ZRANGESTORE",
    Keys.ALL: (
        "DEL EXISTS MGET PFCOUNT PFMERGE SDIFF SDIFFSTORE SINTER SINTERSTORE SUNION SUNIONSTORE TOUCH UNLINK"
    ),
    Keys.EVERY_SECOND: "MSET MSETNX",
    Keys.FIRST_AND_COUNTED: "ZDIFFSTORE ZINTERSTORE ZUNIONSTORE",
}

COMMANDS = {name: keys for keys, names in _BY_KEYS.items() for name in names.split()}
"""By name in capitals."""

SECOND = {
    **dict.fromkeys(
        ("HRANDFIELD", "LPOP", "RPOP", "SPOP", "SRANDMEMBER", "ZPOPMAX", "ZPOPMIN", "ZRANDMEMBER"),
        Bounded.COUNT,
    ),
    "SETRANGE": Bounded.BYTE,
    "SETBIT": Bounded.BIT,
}
"""Commands with a number that is bounded."""

_READS = {
    **dict.fromkeys(("PFCOUNT", "SDIFF", "SINTER", "SUNION"), (0, SOURCES_MAX)),
    **dict.fromkeys(("PFMERGE", "SDIFFSTORE", "SINTERSTORE", "SUNIONSTORE"), (1, SOURCES_MAX)),
    **dict.fromkeys(("ZDIFFSTORE", "ZINTERSTORE", "ZUNIONSTORE"), (2, SOURCES_MAX)),
    "MGET": (0, VALUES_MAX),
    "HMGET": (1, VALUES_MAX),
}
"""Commands that take many keys or fields to read: where those begin, and how many they may be. The
destination is not among them: it may be one of the sources."""

WITHOUT_MATCH = frozenset({"HSCAN", "SSCAN", "ZSCAN"})
"""Their patterns can keep Redis busy without end."""


def key_places(keys: Keys, arguments: Sequence[bytes]) -> range | list[int]:
    """Indexes into the arguments behind the name. Raises ValueError when they cannot be told."""
    count = len(arguments)
    match keys:
        case Keys.NONE:
            return range(0)
        case Keys.FIRST:
            return range(min(1, count))
        case Keys.FIRST_TWO:
            return range(min(2, count))
        case Keys.ALL:
            return range(count)
        case Keys.EVERY_SECOND:
            return range(0, count, 2)
    number = arguments[1] if count > 1 else b""
    if not _NUMBER_OF_KEYS.fullmatch(number) or int(number) > count - 2:
        raise ValueError("the second argument must be the number of keys that follow it")
    return [0, *range(2, 2 + int(number))]


def check_named(name: str, arguments: Sequence[bytes], places: Sequence[int]) -> None:
    """What a command reads is named once, and is not too much; `places` are those of its keys. Raises
    ValueError. The same large value a thousand times would be a gigabyte in Redis, of a short command."""
    first, most = _READS.get(name, (0, 0))
    if not most:
        return
    last = places[-1] + 1 if COMMANDS[name] is Keys.FIRST_AND_COUNTED else len(arguments)
    named = arguments[first:last]
    if len(named) > most:
        raise ValueError(f"it reads at most {most} keys or fields; send it in parts")
    if len(set(named)) < len(named):
        raise ValueError("it names a key or a field twice; name each once")
