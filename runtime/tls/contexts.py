"""Which certificate a TLS connection gets: by the host name that the client asks for.

A handshake cannot wait for an answer from elsewhere, so everything here is synchronous and in memory: the
lookup must be, and a context is built at a certificate's first handshake (about a millisecond) and then kept.

Python's ssl reads certificates and keys from files only. They are given to it as files without a name, in
memory where the system has such files (Linux), else deleted before they are written: no private key is left
anywhere, however the program ends.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from runtime.threads import run_to_end
from runtime.tls.certificates import CertificateAndKey
from runtime.tls.local_ca import LocalCaError

Lookup = Callable[[str], CertificateAndKey | None]
"""The certificate of a host name (lower case, no dot at the end), or None. Must not block."""

_REQUESTED = "yunhan_requested_name"
"""Attribute of the connection's SSL object: Python tells a server's requested name only in the callback."""

_log = structlog.get_logger(__name__)


class TlsContexts:
    """The contexts of one listener. Used in the loop's thread only, under any loop."""

    def __init__(self, own: CertificateAndKey, lookup: Lookup, *, contexts_max: int) -> None:
        """`own` serves every name that `lookup` does not know, and clients that name none.

        `contexts_max` contexts are kept for looked-up certificates; the longest unused goes first.
        Raises ssl.SSLError when `own` is unusable."""
        self._lookup = lookup
        self._contexts_max = contexts_max
        self._contexts: OrderedDict[str, ssl.SSLContext | None] = OrderedDict()
        self._own_digest = own.digest
        self._listener = _make_context(own)
        self._listener.sni_callback = self._choose

    def listener_context(self) -> ssl.SSLContext:
        """For the listener; always the same object."""
        return self._listener

    def renew(self, own: CertificateAndKey) -> None:
        """Serve this certificate from the next handshake on; connections that exist go on."""
        if own.digest != self._own_digest:
            _load(self._listener, own)
            self._own_digest = own.digest

    def _choose(self, tls: ssl.SSLObject, host: str | None, _listener: ssl.SSLContext) -> None:
        """Called in every handshake. An exception here would break it off."""
        if host is None:
            return
        name = host.lower().removesuffix(".")
        setattr(tls, _REQUESTED, name)
        try:
            certificate = self._lookup(name)
            context = self._context_of(certificate, host) if certificate else None
        except Exception as error:  # noqa: BLE001 - a fault of ours must not take the listener down
            _log.error("tls_lookup_failed", host=host, error=repr(error))
            return
        if context is not None:
            tls.context = context

    def _context_of(self, certificate: CertificateAndKey, host: str) -> ssl.SSLContext | None:
        """Kept for the next handshake; also that there is none, so that trying costs nothing again."""
        digest = certificate.digest
        if digest in self._contexts:
            self._contexts.move_to_end(digest)
            return self._contexts[digest]
        try:
            context = _make_context(certificate)
        except ssl.SSLError as error:
            _log.error("certificate_unusable", host=host, digest=digest, error=str(error))
            context = None
        except OSError as error:  # passes, e.g. when descriptors are free again
            _log.error("certificate_not_loaded", host=host, digest=digest, error=str(error))
            return None
        self._contexts[digest] = context
        if len(self._contexts) > self._contexts_max:
            self._contexts.popitem(last=False)
        return context


def requested_name(tls: object) -> str | None:
    """The host name for which a client of `TlsContexts` made its connection (`ssl_object` of the transport);
    None without TLS or name."""
    name = getattr(tls, _REQUESTED, None)
    return name if isinstance(name, str) else None


async def keep_renewed(
    contexts: TlsContexts, certificate: Callable[[], CertificateAndKey], *, every_s: float
) -> None:
    """Ask for the gateway's own certificate again and again; `LocalCa.server_certificate` renews it.

    Runs until it is cancelled. When renewing fails the old certificate goes on, and the log says why."""
    while True:
        await asyncio.sleep(every_s)
        try:
            contexts.renew(await run_to_end(certificate))
        except (LocalCaError, OSError) as error:  # an SSLError is an OSError
            _log.error("server_certificate_not_renewed", error=str(error))


def _make_context(certificate: CertificateAndKey) -> ssl.SSLContext:
    """All contexts are alike: when a handshake switches, the new one's protocol list counts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    _load(context, certificate)
    return context


def _load(context: ssl.SSLContext, certificate: CertificateAndKey) -> None:
    with (
        _nameless_file(certificate.chain_pem) as chain_path,
        _nameless_file(certificate.key_pem) as key_path,
    ):
        # A password function, because without one OpenSSL would ask for it on the terminal.
        context.load_cert_chain(chain_path, key_path, password=lambda: b"")


@contextmanager
def _nameless_file(content: bytes) -> Iterator[str]:
    """The path of a file in which only this process finds `content`, for as long as the block lasts."""
    if hasattr(os, "memfd_create"):
        file = os.fdopen(os.memfd_create("tls"), "w+b")
    else:
        file = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - closed by the block below
    with file:
        file.write(content)
        file.seek(0)
        yield f"/dev/fd/{file.fileno()}"
