"""What HTTP triggers need from this machine: names that resolve, an authority that clients trust."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

from runtime.cli.doctor_findings import Finding, State
from runtime.data_dir import DataDir
from runtime.settings import Settings
from runtime.tls.certificates import certificate_info
from runtime.tls.local_ca import RENEW_BEFORE, how_to_trust

RESOLVE_TIMEOUT_S = 5.0
_SPACE = "x"
"""Stands for the id of a space: all resolve alike."""


def check_local_ca(settings: Settings) -> Finding:
    """The authority behind our own certificate, and how clients get to trust it."""
    path = DataDir(settings.data_dir).reached_by_command_line().tls / "ca.pem"
    if settings.https_address is None:
        return Finding(name="local CA", state=State.OK, text="not needed without YUNHAN_HTTPS")
    try:
        info = certificate_info(path.read_bytes())
    except FileNotFoundError:
        return Finding(name="local CA", state=State.OK, text=f"{path} is made at the first start")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no certificate"
        return Finding(
            name="local CA",
            state=State.PROBLEM,
            text=f"{path}: {reason}",
            next_step="Make it readable, or delete it and ca-key.pem: a new authority is made at the"
            " next start, which clients have to trust anew.",
        )
    text = f"{path}, expires {info.not_after.date()}, SHA-256 {info.fingerprint}"
    ways = dict(how_to_trust(path))
    if datetime.now(UTC) > info.not_after - RENEW_BEFORE:
        return Finding(
            name="local CA",
            state=State.WARNING,
            text=text,
            next_step="Start the program anew: it makes a new one. Then trust that:",
            ways=ways,
        )
    return Finding(
        name="local CA",
        state=State.OK,
        text=text,
        next_step="Clients that check certificates have to trust it:",
        ways=ways,
    )


def check_trigger_domain(settings: Settings) -> Finding:
    """Whether clients can use the addresses that the program tells them."""
    name, domain = "trigger domain", settings.trigger_domain
    public_host = urlsplit(settings.public_url).hostname or ""
    elsewhere = bool(public_host) and not _is_local(public_host)
    if _is_localhost(domain) and (settings.production or elsewhere):
        why = f"YUNHAN_PUBLIC_URL={settings.public_url}" if elsewhere else "YUNHAN_ENV=production"
        return Finding(
            name=name,
            state=State.WARNING,
            text=f"{domain} means this machine only, although {why}",
            next_step="Set YUNHAN_TRIGGER_DOMAIN to a domain of yours, e.g. fn.example.com, and make"
            " a DNS record for *.fn.example.com; custom domains and the path form work without.",
        )
    direct = settings.https_address is not None and not settings.trigger_public_port
    if direct and not _is_localhost(domain):
        return Finding(
            name=name,
            state=State.WARNING,
            text=f"for *.{domain} there is only a certificate of the local CA, which other machines"
            " do not trust",
            next_step=f"Put a proxy with a certificate for *.{domain} before the program and set"
            " YUNHAN_TRIGGER_PUBLIC_PORT, e.g. 443.",
        )
    return Finding(name=name, state=State.OK, text=f"{{space id}}.{domain}")


def check_trigger_names(settings: Settings) -> Finding:
    """Whether `{space id}.{trigger domain}` resolves on this machine."""
    host = f"{_SPACE}.{settings.trigger_domain}"
    found = resolve(host)
    local = _is_localhost(settings.trigger_domain)
    if found and not (local and not all(map(_is_local, found))):
        return Finding(
            name="trigger names", state=State.OK, text=f"{host} resolves to {', '.join(found)}"
        )
    where = f"to {', '.join(found)}, not to this machine" if found else "here"
    advice = f"Use the path form: {_endpoint(settings)}/trigger/{{space id}}/http/..."
    if local:
        advice += " (browsers and curl find the name by themselves)."
    else:
        advice += f", or make a DNS record for *.{settings.trigger_domain}."
    return Finding(
        name="trigger names",
        state=State.WARNING,
        text=f"{host} resolves {where}" if found else f"{host} does not resolve {where}",
        next_step=advice,
    )


def resolve(host: str) -> list[str]:
    """The addresses of a host; none when the resolver knows none or takes too long."""
    found: list[str] = []

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return
        found.extend(sorted({str(answer[4][0]) for answer in answers}))

    # Not to be interrupted, and some resolvers take half a minute: it may outlive the command's wait.
    thread = threading.Thread(target=ask, name=f"resolve {host}", daemon=True)
    thread.start()
    thread.join(RESOLVE_TIMEOUT_S)
    return list(found)


def _endpoint(settings: Settings) -> str:
    """Of the running program, else what it would be."""
    running = DataDir(settings.data_dir).reached_by_command_line().read_running()
    known = running.endpoint if running else settings.public_url or f"http://{settings.http}"
    return known.rstrip("/")


def _is_localhost(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost")


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return _is_localhost(host)
