"""Where clients reach the gateway and the HTTP triggers."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import field_validator, model_validator

from runtime.settings.fields import HOST_NAME, SettingGroup, ascii_host, setting, split_address


class AddressSettings(SettingGroup):
    """Listeners and the names before them."""

    http: str = setting("127.0.0.1:8700", "host:port", "address of the gateway's HTTP listener")
    https: str = setting(
        "127.0.0.1:8743",
        "host:port",
        "address of the HTTPS listener; empty = none, a proxy before us ends TLS",
    )
    worker_http: str = setting(
        "127.0.0.1:8701",
        "host:port",
        "where a separate worker tells its health and metrics; empty = nowhere",
    )
    public_url: str = setting(
        "", "URL", "endpoint that clients reach, behind a proxy; empty = the HTTP listener"
    )
    trigger_domain: str = setting(
        "fn.localhost", "host name", "HTTP triggers of a space answer at {space id}.{this domain}"
    )
    trigger_public_port: int = setting(
        0,
        "port",
        "HTTPS port at which clients reach triggers, behind a proxy; 0 = that of YUNHAN_HTTPS",
        ge=0,
        le=65535,
    )

    @field_validator("http")
    @classmethod
    def _an_address(cls, value: str) -> str:
        split_address(value)
        return value

    @field_validator("https", "worker_http")
    @classmethod
    def _an_address_or_none(cls, value: str) -> str:
        if value:
            split_address(value)
        return value

    @field_validator("trigger_domain")
    @classmethod
    def _a_domain(cls, value: str) -> str:
        if not HOST_NAME.fullmatch(value):
            raise ValueError("a host name in lower case, e.g. fn.example.com")
        return value

    @model_validator(mode="after")
    def _triggers_have_a_domain_of_their_own(self) -> Self:
        for host in self.own_hosts:
            if host == self.trigger_domain or host.partition(".")[2] == self.trigger_domain:
                raise ValueError(
                    f"YUNHAN_TRIGGER_DOMAIN={self.trigger_domain} contains {host}, at which clients reach"
                    " this server (YUNHAN_PUBLIC_URL): that name would be a space's; use a domain of its own"
                )
        return self

    @property
    def http_address(self) -> tuple[str, int]:
        """Host (an IPv6 address without its brackets) and port of `http`."""
        return split_address(self.http)

    @property
    def https_address(self) -> tuple[str, int] | None:
        """As `http_address`; None when there is no HTTPS listener."""
        return split_address(self.https) if self.https else None

    @property
    def worker_http_address(self) -> tuple[str, int] | None:
        """As `http_address`; None when the worker tells nobody."""
        return split_address(self.worker_http) if self.worker_http else None

    @property
    def endpoint(self) -> str:
        """URL at which clients reach the gateway, without a trailing slash."""
        return (self.public_url or f"http://{self.http}").rstrip("/")

    @property
    def own_hosts(self) -> frozenset[str]:
        """Host names at which clients reach the gateway itself, in lower case and `xn--`."""
        host = urlsplit(self.public_url).hostname if self.public_url else self.http_address[0]
        return frozenset({ascii_host(host or "")} - {""})
