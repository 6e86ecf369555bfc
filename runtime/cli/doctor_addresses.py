"""Whether the listeners of the gateway can have their addresses, or have them already."""

from __future__ import annotations

import errno
import socket
import ssl
from pathlib import Path

from runtime.cli.doctor_findings import Finding, State
from runtime.data_dir import DataDir
from runtime.settings import Settings

CONNECT_TIMEOUT_S = 3.0


def check_address(settings: Settings) -> Finding:
    """Whether the HTTP address is free, or taken by our own program."""
    error = _why_not_free(settings.http_address)
    if error is None:
        return Finding(name="address", state=State.OK, text=f"{settings.http} is free")
    running = DataDir(settings.data_dir).reached_by_command_line().read_running()
    if error.errno == errno.EADDRINUSE and running is not None:
        return Finding(
            name="address", state=State.OK, text=f"{settings.http} is used by our program"
        )
    return Finding(
        name="address",
        state=State.PROBLEM,
        text=f"{settings.http} cannot be used: {error}",
        next_step="Set YUNHAN_HTTP to a free host:port.",
    )


def check_https_address(settings: Settings) -> Finding:
    """Whether the HTTPS address is free, or taken by our own program: it shows our certificate."""
    address = settings.https_address
    if address is None:
        return Finding(
            name="https address",
            state=State.OK,
            text="none (YUNHAN_HTTPS is empty): a proxy before us has to end TLS",
        )
    error = _why_not_free(address)
    if error is None:
        return Finding(name="https address", state=State.OK, text=f"{settings.https} is free")
    data_dir = DataDir(settings.data_dir).reached_by_command_line()
    ours = (
        error.errno == errno.EADDRINUSE
        and data_dir.read_running() is not None
        and _has_our_certificate(address, data_dir.tls / "ca.pem")
    )
    if ours:
        return Finding(
            name="https address", state=State.OK, text=f"{settings.https} is used by our program"
        )
    return Finding(
        name="https address",
        state=State.PROBLEM,
        text=f"{settings.https} cannot be used: {error}",
        next_step="Set YUNHAN_HTTPS to a free host:port, or to the empty text for no HTTPS.",
    )


def _why_not_free(address: tuple[str, int]) -> OSError | None:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None


def _has_our_certificate(address: tuple[str, int], ca_path: Path) -> bool:
    """Whoever answers there proves it in a handshake; its names do not matter."""
    try:
        context = ssl.create_default_context(cafile=str(ca_path))
        context.check_hostname = False
        with (
            socket.create_connection(address, CONNECT_TIMEOUT_S) as connection,
            context.wrap_socket(connection),
        ):
            return True
    except OSError:  # SSLError and a missing file, too
        return False
