"""Redis: counts of rates that several gateways share, and `redisCli` of functions. Optional."""

from __future__ import annotations

import re
from typing import Self
from urllib.parse import urlsplit

from pydantic import field_validator, model_validator

from runtime.settings.fields import KIB, MIB, SettingGroup, setting

_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RedisSettings(SettingGroup):
    """One server or a primary behind one address; no Redis Cluster."""

    redis_url: str = setting(
        "",
        "URL",
        "redis://user@host:6379/0 or rediss://...; empty = no redisCli, and rates count for one gateway",
    )
    redis_password_file: str = setting(
        "", "path", "file with the password for YUNHAN_REDIS_URL; empty = it stands in the URL"
    )
    redis_ca_file: str = setting(
        "",
        "path",
        "authorities for rediss://, PEM, beside those of the system; empty = only those",
    )
    redis_prefix: str = setting(
        "yunhan", "name", "of all keys; one for each installation on a Redis"
    )
    redis_connections_max: int = setting(
        32, "count", "connections of one program for each of its two uses", ge=2
    )
    redis_connect_timeout_s: float = setting(2.0, "s", "longest connect to Redis", gt=0)
    redis_timeout_s: float = setting(
        2.0, "s", "one command of redisCli, its wait for a connection included", gt=0
    )
    redis_rate_timeout_s: float = setting(
        0.25, "s", "longest wait for a count of rates; then this gateway counts alone", gt=0
    )
    redis_rate_pause_s: float = setting(
        1.0, "s", "so long a gateway counts alone before it asks Redis again", gt=0
    )
    redis_under_way_max: int = setting(
        64, "count", "commands of redisCli under way on one worker; more are refused", ge=1
    )
    redis_under_way_max_per_space: int = setting(
        16,
        "count",
        "the same of one space: fewer than YUNHAN_REDIS_CONNECTIONS_MAX, so that none holds them all",
        ge=1,
    )
    redis_arguments_max: int = setting(
        1000, "count", "arguments of one command of redisCli, its name included", ge=2
    )
    redis_command_max_bytes: int = setting(
        1 * MIB, "bytes", "arguments of one command of redisCli", ge=KIB
    )
    redis_answer_max_bytes: int = setting(
        1 * MIB, "bytes", "answer to one command of redisCli", ge=KIB
    )
    redis_answer_items_max: int = setting(
        10_000,
        "count",
        "items of an answer to redisCli, those of lists within lists included",
        ge=1,
    )

    @field_validator("redis_url")
    @classmethod
    def _a_url_or_none(cls, value: str) -> str:
        if value:
            _check_url(value)
        return value

    @field_validator("redis_prefix")
    @classmethod
    def _a_name(cls, value: str) -> str:
        if not _PREFIX.fullmatch(value):
            raise ValueError("1 to 64 letters, digits, points, - and _, e.g. yunhan-test")
        return value

    @model_validator(mode="after")
    def _a_space_fits_redis(self) -> Self:
        if self.redis_under_way_max_per_space > self.redis_under_way_max:
            raise ValueError(
                f"YUNHAN_REDIS_UNDER_WAY_MAX_PER_SPACE={self.redis_under_way_max_per_space} must not be"
                f" greater than YUNHAN_REDIS_UNDER_WAY_MAX={self.redis_under_way_max}"
            )
        if self.redis_under_way_max_per_space >= self.redis_connections_max:
            raise ValueError(
                f"YUNHAN_REDIS_UNDER_WAY_MAX_PER_SPACE={self.redis_under_way_max_per_space} must be less than"
                f" YUNHAN_REDIS_CONNECTIONS_MAX={self.redis_connections_max}: one space with slow commands"
                " would hold every connection"
            )
        return self


def _check_url(url: str) -> None:
    """Raises ValueError. Nothing of the URL is repeated: it may hold the password."""
    wanted = (
        "redis://user@host:6379/0 or rediss://..., the path a database's number, nothing after it"
    )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(wanted) from None
    number = parts.path.removeprefix("/")
    if (
        parts.scheme not in {"redis", "rediss"}
        or not parts.hostname
        or port == 0
        or (number and not (number.isascii() and number.isdecimal()))
        or parts.query
        or parts.fragment
    ):
        raise ValueError(wanted)
