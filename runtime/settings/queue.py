"""The queue: how much may wait in it, and how RabbitMQ is reached."""

from __future__ import annotations

import re
from typing import Self

from pydantic import model_validator

from runtime.settings.fields import MIB, SettingGroup, setting

_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,64}")


class QueueSettings(SettingGroup):
    """The first ones hold for every queue, those after `queue_wait_s` for RabbitMQ."""

    queue_url: str = setting(
        "memory:", "URL", "queue: memory:, or amqp://user@host/vhost or amqps://... for RabbitMQ"
    )
    queue_max_jobs: int = setting(
        1000, "count", "synchronous jobs that wait; more are refused", ge=1
    )
    queue_max_jobs_per_space: int = setting(
        250,
        "count",
        "synchronous jobs of one space that wait (RabbitMQ: in one gateway, with those that began"
        " a moment ago); more are refused",
        ge=1,
    )
    queue_max_bytes: int = setting(
        256 * MIB,
        "bytes",
        "arguments of waiting jobs; a quarter for one space; more is refused",
        ge=1,
    )
    queue_wait_s: float = setting(
        30.0, "s", "longest wait of a synchronous job; then it is expired and never run", gt=0
    )
    queue_password_file: str = setting(
        "", "path", "file with the password for YUNHAN_QUEUE_URL; empty = it stands in the URL"
    )
    queue_ca_file: str = setting(
        "", "path", "authorities for amqps://, PEM; empty = those of the system"
    )
    queue_prefix: str = setting(
        "yunhan", "name", "of all exchanges and queues; one for each installation on a broker"
    )
    queue_shards: int = setting(
        8,
        "count",
        "queues over which spaces are spread; every program the same, never fewer than before",
        ge=1,
        le=256,
    )
    queue_shard_max_jobs: int = setting(
        100_000, "count", "asynchronous jobs that wait in one shard; more are refused", ge=1
    )
    queue_shard_max_bytes: int = setting(
        1024 * MIB, "bytes", "asynchronous jobs that wait in one shard; more is refused", ge=1
    )
    queue_shard_prefetch: int = setting(
        16,
        "count",
        "asynchronous jobs of one shard that a worker looks at ahead, to find those of other spaces",
        ge=1,
    )
    queue_delivery_limit: int = setting(
        20,
        "count",
        "a job that was lost so often before a worker claimed it is given up by the broker",
        ge=1,
    )
    queue_restarts_max: int = setting(
        3,
        "count",
        "a job that the broker gave up and no worker began is put into the queue anew, so often at most;"
        " then it is a dead letter",
        ge=0,
    )
    queue_in_flight_max: int = setting(
        2000, "count", "callers, and unconfirmed jobs, of one gateway; more are refused", ge=1
    )
    queue_heartbeat_s: int = setting(
        5,
        "s",
        "heartbeat of connections; a silent broker is given up after about two of them",
        ge=1,
    )
    queue_connect_timeout_s: float = setting(10.0, "s", "longest connect to the broker", gt=0)
    queue_publish_timeout_s: float = setting(
        5.0, "s", "longest wait for the broker's confirmation of a job", gt=0
    )
    queue_reconnect_longest_s: float = setting(
        5.0, "s", "longest pause between two attempts to reach the broker", gt=0
    )
    queue_reconnect_steady_s: float = setting(
        5.0,
        "s",
        "a connection that is lost sooner counts as a failed attempt to reach the broker",
        gt=0,
    )
    queue_outcome_grace_s: float = setting(
        60.0, "s", "beyond a function's time-out, until its caller is told worker_lost", gt=0
    )
    queue_consumer_timeout_s: int = setting(
        1800,
        "s",
        "the broker's consumer_timeout as it is set there (it is not asked); must exceed"
        " YUNHAN_TIMEOUT_SYNC_MAX_S and what comes before it",
        ge=1,
    )

    @model_validator(mode="after")
    def _prefix_is_a_name(self) -> Self:
        if not _PREFIX.fullmatch(self.queue_prefix):
            raise ValueError(
                "YUNHAN_QUEUE_PREFIX: 1 to 64 letters, digits, points, - and _, e.g. yunhan-test"
            )
        return self
