"""What the RabbitMQ adapter is told: where the broker is, names, bounds and times."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlencode, urlsplit, urlunsplit

from runtime.backends.amqp.connection import Endpoint
from runtime.errors import OursError
from runtime.settings import Settings, SettingsError, secret_in

_DELAYS_S = (1, 2, 5, 10, 20, 60, 120, 300, 900)
"""The ladder of delay queues: a delay is rounded up to the next step, a longer one takes several hops."""
_BESIDE_BYTES = 1024 * 1024
"""What a job or an outcome holds beside arguments or value: environment, client's header, fault."""


_WILL_RENEW_MAX_S = 300.0


class BrokerSetupError(OursError):
    """The broker cannot be used as it is; the message says what its operator has to do."""

    def __init__(self, message: str) -> None:
        super().__init__("InternalServerError", message)


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitMqOptions:
    """All of it. Times in seconds, sizes in bytes."""

    url: str = field(repr=False)
    """amqp:// or amqps://, user and password included (`with_password`)."""
    ca_file: str = ""
    """Authorities that may sign the broker's certificate; empty = those of the system."""
    prefix: str = "yunhan"
    """Of the names of all queues and exchanges: installations can share a broker."""
    shards: int = 8
    delays_s: tuple[int, ...] = _DELAYS_S
    call_prefetch: int = 16
    """Synchronous jobs that may be in this worker's hands: its slots."""
    job_prefetch: int = 16
    """Asynchronous jobs of one shard in this worker's hands, not acknowledged yet: it looks so far ahead."""
    aside_prefetch: int = 2
    """The same of each lane of jobs that were set aside."""
    calls_max: int = 1000
    calls_max_per_space: int = 250
    """Of one space that wait, as far as this process knows."""
    calls_max_bytes: int = 256 * 1024 * 1024
    shard_max_jobs: int = 100_000
    shard_max_bytes: int = 1024 * 1024 * 1024
    delivery_limit: int = 20
    in_flight_max: int = 2000
    """Callers that wait at the same time in this process, and publishes that wait for their confirmation."""
    message_max_bytes: int = 16 * 1024 * 1024
    """A larger one is no job and no outcome; its body is not even kept."""
    heartbeat_s: int = 5
    connect_timeout_s: float = 10.0
    publish_timeout_s: float = 5.0
    reconnect_longest_s: float = 5.0
    reconnect_steady_s: float = 5.0
    """A connection that was there for so long worked: the next pause is a short one again."""
    taken_after_s: float = 0.02
    """A synchronous job that runs for longer is told to its caller; a shorter one's outcome says it all."""
    will_renew_s: float = _WILL_RENEW_MAX_S
    """A worker's last will is held for no longer; well below the broker's consumer_timeout."""
    outcome_grace_s: float = 60.0
    """Beyond a function's time-out: start of its sandbox, fetch of its code, way of its outcome."""

    @classmethod
    def from_settings(cls, settings: Settings) -> RabbitMqOptions:
        """Raises BrokerSetupError when the password file cannot be read."""
        return cls(
            url=with_password(settings.queue_url, settings.queue_password_file),
            ca_file=settings.queue_ca_file,
            prefix=settings.queue_prefix,
            shards=settings.queue_shards,
            call_prefetch=settings.slots,
            job_prefetch=settings.queue_shard_prefetch,
            calls_max=settings.queue_max_jobs,
            calls_max_per_space=settings.queue_max_jobs_per_space,
            calls_max_bytes=settings.queue_max_bytes,
            shard_max_jobs=settings.queue_shard_max_jobs,
            shard_max_bytes=settings.queue_shard_max_bytes,
            delivery_limit=settings.queue_delivery_limit,
            in_flight_max=settings.queue_in_flight_max,
            message_max_bytes=(
                2 * max(settings.args_max_bytes, settings.result_max_bytes) + _BESIDE_BYTES
            ),
            heartbeat_s=settings.queue_heartbeat_s,
            connect_timeout_s=settings.queue_connect_timeout_s,
            publish_timeout_s=settings.queue_publish_timeout_s,
            reconnect_longest_s=settings.queue_reconnect_longest_s,
            reconnect_steady_s=settings.queue_reconnect_steady_s,
            will_renew_s=min(_WILL_RENEW_MAX_S, settings.queue_consumer_timeout_s / 3),
            outcome_grace_s=settings.queue_outcome_grace_s,
        )

    def link_url(self) -> str:
        """For aio-pika: the URL with what it takes from the query."""
        parts = urlsplit(self.url)
        query = urlencode({"heartbeat": self.heartbeat_s})
        query = f"{parts.query}&{query}" if parts.query else query
        return urlunsplit(parts._replace(query=query))

    def endpoint(self, name: str) -> Endpoint:
        """For a connection of our own that is called so. Raises BrokerSetupError."""
        parts = urlsplit(self.url)
        try:
            port = parts.port
        except ValueError:
            port = 0
        if parts.scheme not in {"amqp", "amqps"} or not parts.hostname or port == 0:
            raise BrokerSetupError(
                "YUNHAN_QUEUE_URL is none of RabbitMQ; say amqp://user@host:5672/vhost or amqps://..."
            )
        return Endpoint(
            host=parts.hostname,
            port=port or (5671 if parts.scheme == "amqps" else 5672),
            user=unquote(parts.username or "guest"),
            password=unquote(parts.password or "guest"),
            virtual_host=unquote(parts.path[1:]) or "/",
            tls=self.tls(),
            name=f"{self.prefix} {name}",
            heartbeat_s=self.heartbeat_s,
            body_max=self.message_max_bytes,
            connect_timeout_s=self.connect_timeout_s,
            answer_timeout_s=self.connect_timeout_s,
            write_timeout_s=self.publish_timeout_s,
        )

    def tls(self) -> ssl.SSLContext | None:
        """For amqps; None without TLS."""
        if urlsplit(self.url).scheme != "amqps":
            return None
        return ssl.create_default_context(cafile=self.ca_file or None)

    @property
    def where(self) -> str:
        """Host and port, for messages: nothing secret."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port or (5671 if parts.scheme == 'amqps' else 5672)}"


def with_password(url: str, password_file: str) -> str:
    """The URL with the password from a file; unchanged without a file. Raises BrokerSetupError."""
    if not password_file:
        return url
    try:
        password = secret_in(password_file, "YUNHAN_QUEUE_PASSWORD_FILE")
    except SettingsError as error:
        raise BrokerSetupError(str(error)) from None
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    user = quote(parts.username or "guest", safe="%")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))
