"""The gateway's listening sockets: bound first, served last, closed when the program drains."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Self

import structlog
from aiohttp import web

from runtime.descriptors import raise_limit, room_for_connections
from runtime.gateway.connections import Connections
from runtime.gateway.listeners import Listener, TlsListener
from runtime.services.custom_domains import CustomDomains
from runtime.settings import Settings
from runtime.threads import run_to_end
from runtime.tls.contexts import TlsContexts, keep_renewed
from runtime.tls.local_ca import LocalCa, local_names
from runtime.wiring.common import Common

_log = structlog.get_logger(__name__)

_BACKLOG = 1024


class StartError(Exception):
    """The program cannot start serving; the text says why, `variable` names the setting to change."""

    def __init__(self, message: str, *, variable: str = "YUNHAN_HTTP") -> None:
        super().__init__(message)
        self.variable = variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Bound sockets; None where the program does not listen."""

    http: socket.socket | None
    https: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for listener in (self.http, self.https):
            if listener is not None:
                listener.close()


def bind_worker_address(settings: Settings) -> Addresses:
    """Take YUNHAN_WORKER_HTTP before anything else is started. Raises StartError."""
    address = settings.worker_http_address
    return Addresses(http=_bind(*address, variable="YUNHAN_WORKER_HTTP") if address else None)


def bind_addresses(settings: Settings) -> Addresses:
    """Take YUNHAN_HTTP and YUNHAN_HTTPS before anything else is started. Raises StartError."""
    http = _bind(*settings.http_address, variable="YUNHAN_HTTP")
    try:
        address = settings.https_address
        https = _bind(*address, variable="YUNHAN_HTTPS") if address else None
    except BaseException:
        http.close()
        raise
    return Addresses(http=http, https=https)


def _bind(host: str, port: int, *, variable: str) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            # Listening is what keeps a second program away; calls wait in the backlog until we serve.
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise StartError(
            f"cannot listen on {host}:{port}: {error.strerror}.", variable=variable
        ) from error
    return listener


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The contexts of the HTTPS listener and what keeps our own certificate fresh."""

    contexts: TlsContexts
    ca: LocalCa
    renew_check_s: float

    @property
    def background(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What must run as long as the program serves."""
        return {
            "renew our certificate": lambda: keep_renewed(
                self.contexts, self.ca.server_certificate, every_s=self.renew_check_s
            )
        }


async def make_tls(common: Common, domains: CustomDomains, endpoint: str) -> Tls | None:
    """None without an HTTPS listener. Makes or renews the local CA's files. Raises LocalCaError."""
    settings = common.settings
    if not settings.https:
        return None
    names = local_names(settings.trigger_domain, (settings.http, settings.https, endpoint))
    ca = LocalCa(common.data_dir.tls, names, common.clock)
    own = await run_to_end(ca.server_certificate)
    contexts = TlsContexts(own, domains.certificate_of, contexts_max=settings.tls_contexts_max)
    return Tls(contexts=contexts, ca=ca, renew_check_s=settings.tls_renew_check_s)


def make_connections(runner: web.AppRunner, settings: Settings) -> Connections:
    """Of a runner that is set up; shared by its listeners."""
    assert runner.server is not None
    limit = raise_limit()
    room = room_for_connections(limit, sandboxes=settings.sandboxes_max)
    if room < settings.connections_max:
        _log.warning(
            "fewer_connections",
            connections_max=room,
            wanted=settings.connections_max,
            hint=f"this process may open {limit} files; raise that (ulimit -n, LimitNOFILE)",
        )
    return Connections(
        runner.server,
        connections_max=min(room, settings.connections_max),
        head_timeout_s=settings.head_timeout_s,
        keepalive_s=settings.keepalive_s,
        write_stall_s=settings.write_stall_s,
        linger_s=settings.linger_s,
        head_fields_max=settings.head_fields_max,
        head_field_max_bytes=settings.head_field_max_bytes,
    )


async def serve(
    runner: web.AppRunner,
    connections: Connections,
    addresses: Addresses,
    tls: Tls | None,
    settings: Settings,
) -> None:
    """Accept on all addresses from now on; the listeners are sites of the runner."""
    if addresses.http is not None:
        await Listener(runner, connections, addresses.http, backlog=_BACKLOG).start()
    if addresses.https is not None and tls is not None:
        await TlsListener(
            runner,
            connections,
            addresses.https,
            backlog=_BACKLOG,
            context=tls.contexts.listener_context(),
            handshake_timeout_s=settings.tls_handshake_timeout_s,
            handshakes_max=settings.tls_handshakes_max,
        ).start()
