"""Where Redis is, and the bounds of its use."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from runtime.errors import OursError
from runtime.settings import SettingsError, secret_in
from runtime.settings.redis import RedisSettings


class RedisSetupError(OursError):
    """Redis cannot be used as it is set; the message says what its operator has to do."""

    def __init__(self, message: str) -> None:
        super().__init__("InternalServerError", message)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisOptions:
    """Times in seconds, sizes in bytes."""

    host: str
    port: int = 6379
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    tls: bool = False
    ca_file: str = ""
    """Authorities that may sign the server's certificate, beside those of the system."""
    prefix: str = "yunhan"
    """Of all keys: installations can share a Redis."""
    connections_max: int = 16
    connect_timeout_s: float = 2.0
    timeout_s: float = 2.0
    """One command, with the wait for a connection."""
    answer_max_bytes: int = 1024 * 1024
    answer_items_max: int = 10_000

    @classmethod
    def from_settings(
        cls, settings: RedisSettings, *, timeout_s: float | None = None
    ) -> RedisOptions:
        """Of settings that name a Redis; `timeout_s` instead of that of `redisCli`. Raises RedisSetupError
        when the password file cannot be read."""
        parts = urlsplit(settings.redis_url)
        if not parts.hostname:
            raise RedisSetupError("no Redis: set YUNHAN_REDIS_URL, e.g. redis://user@host:6379/0")
        password = unquote(parts.password) if parts.password else None
        if settings.redis_password_file:
            try:
                password = secret_in(settings.redis_password_file, "YUNHAN_REDIS_PASSWORD_FILE")
            except SettingsError as error:
                raise RedisSetupError(str(error)) from None
        return cls(
            host=parts.hostname,
            port=parts.port or 6379,
            user=unquote(parts.username) if parts.username else None,
            password=password,
            database=int(parts.path.removeprefix("/") or 0),
            tls=parts.scheme == "rediss",
            ca_file=settings.redis_ca_file,
            prefix=settings.redis_prefix,
            connections_max=settings.redis_connections_max,
            connect_timeout_s=settings.redis_connect_timeout_s,
            timeout_s=settings.redis_timeout_s if timeout_s is None else timeout_s,
            answer_max_bytes=settings.redis_answer_max_bytes,
            answer_items_max=settings.redis_answer_items_max,
        )

    @property
    def where(self) -> str:
        """Host and port, for messages: nothing secret."""
        return f"{self.host}:{self.port}"
