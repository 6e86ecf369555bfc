"""Custom domains of all spaces, in memory: which space a host name is for, and its certificate.

A TLS handshake cannot wait for a database, so all of them are kept, followed by a poll. The map may be a
poll old, longer when the database does not answer; that harms nobody: whether the domain is still the
space's is asked of the space itself with every request (`GatewayTriggers`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from runtime.errors import UnavailableError, YunhanError
from runtime.messages import Space
from runtime.ports import ControlStore
from runtime.sealing import SealingError, SecretBox
from runtime.tls.certificates import CertificateAndKey

_log = structlog.get_logger(__name__)


def certificate_key_context(space_id: str) -> str:
    """What the sealed private key of a space's certificate is bound to."""
    return f"space/{space_id}/custom-domain-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    space_id: str
    revision: int
    certificate: CertificateAndKey | None


class CustomDomains:
    """See the module. `space_of` and `certificate_of` never block."""

    def __init__(self, *, store: ControlStore, box: SecretBox) -> None:
        self._store = store
        self._box = box
        self._known: dict[str, _Known] = {}
        self._polling = asyncio.Lock()

    def space_of(self, name: str) -> str | None:
        """The id of the space that a host name (lower case, no dot at the end) belongs to."""
        known = self._known.get(name)
        return known.space_id if known else None

    def certificate_of(self, name: str) -> CertificateAndKey | None:
        """What to serve TLS for a host name with; None when it is none of ours or has no certificate."""
        known = self._known.get(name)
        return known.certificate if known else None

    async def poll(self) -> None:
        """Learn what changed; spaces that did not are not read. Raises UnavailableError."""
        async with self._polling:
            known: dict[str, _Known] = {}
            for found in await self._store.custom_domains():
                before = self._known.get(found.domain)
                if before and (before.space_id, before.revision) == (
                    found.space_id,
                    found.revision,
                ):
                    known[found.domain] = before
                    continue
                space = await self._read(found.space_id)
                if space is not None and space.http_triggers.custom_domain == found.domain:
                    known[found.domain] = _Known(
                        space_id=space.space_id,
                        revision=space.revision,
                        certificate=self._certificate(space),
                    )
            self._known = known

    async def run(self, every_s: float) -> None:
        """Poll for ever. A database that does not answer is logged and tried again."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.poll()
            except YunhanError as error:
                _log.warning("custom_domains_poll_failed", error=str(error))

    async def _read(self, space_id: str) -> Space | None:
        """A damaged space loses its domain, the others keep theirs."""
        try:
            return await self._store.read_space(space_id)
        except UnavailableError:
            raise
        except YunhanError as error:
            _log.error("space_of_custom_domain_unreadable", space=space_id, error=str(error))
            return None

    def _certificate(self, space: Space) -> CertificateAndKey | None:
        config = space.http_triggers
        if not config.certificate_pem:
            return None
        try:
            key = self._box.open(
                config.certificate_key_sealed, context=certificate_key_context(space.space_id)
            )
        except SealingError as error:
            _log.error("certificate_key_unreadable", space=space.space_id, error=str(error))
            return None
        return CertificateAndKey(chain_pem=config.certificate_pem.encode(), key_pem=key)
