"""A space's HTTP triggers: on or off, custom domain and certificate, bounds of bodies."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

import structlog

from runtime.errors import InvalidParameterError
from runtime.messages import HttpTriggerConfig, Space
from runtime.ports import Clock
from runtime.sealing import SecretBox
from runtime.services.custom_domains import CustomDomains, certificate_key_context
from runtime.services.space_editor import SpaceEditor
from runtime.settings import Settings
from runtime.tls.certificates import ascii_name, check_certificate

_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTriggerChange:
    """Wanted settings; None = as it is, empty = remove (spec: management API §5)."""

    enabled: bool | None = None
    custom_domain: str | None = None
    certificate: str | None = None
    private_key: str | None = field(default=None, repr=False)


class HttpTriggerService:
    """Use cases. Unknown spaces raise NotFoundError."""

    def __init__(
        self,
        *,
        editor: SpaceEditor,
        domains: CustomDomains,
        box: SecretBox,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._editor = editor
        self._domains = domains
        self._box = box
        self._clock = clock
        self._settings = settings

    async def get(self, space_id: str) -> Space:
        """The stored space."""
        return await self._editor.read(space_id)

    async def update(self, space_id: str, wanted: HttpTriggerChange) -> Space:
        """Change what is given; this gateway has it at once, others after their next poll.

        Raises InvalidParameterError for a domain that cannot be had or a certificate that does not fit it,
        DomainTakenError when another space has the domain."""

        def change(space: Space) -> Space:
            return self._changed(space, self._with(space, wanted))

        space = await self._editor.change(space_id, change)
        await self._domains.poll()
        _log.info(
            "http_triggers_changed",
            space=space_id,
            enabled=space.http_triggers.enabled,
            custom_domain=space.http_triggers.custom_domain,
        )
        return space

    async def set_limits(
        self, space_id: str, *, request_max_bytes: int | None, response_max_bytes: int | None
    ) -> Space:
        """Bounds of bodies; None = as it is, 0 = the installation's default. Raises
        InvalidParameterError above the installation's ceiling."""
        self._check_bound("RequestMaxBytes", request_max_bytes)
        self._check_bound("ResponseMaxBytes", response_max_bytes)

        def change(space: Space) -> Space:
            config = space.http_triggers
            return self._changed(
                space,
                replace(
                    config,
                    request_max_bytes=_bound(config.request_max_bytes, request_max_bytes),
                    response_max_bytes=_bound(config.response_max_bytes, response_max_bytes),
                ),
            )

        return await self._editor.change(space_id, change)

    def _changed(self, space: Space, config: HttpTriggerConfig) -> Space:
        if config == space.http_triggers:
            return space
        return replace(space, http_triggers=config, modified_ms=self._clock.now_ms())

    def _with(self, space: Space, wanted: HttpTriggerChange) -> HttpTriggerConfig:
        config = space.http_triggers
        if wanted.enabled is not None:
            config = replace(config, enabled=wanted.enabled)
        if wanted.custom_domain is not None:
            config = replace(config, custom_domain=self._check_domain(wanted.custom_domain))
        return self._with_certificate(space, config, wanted)

    def _with_certificate(
        self, space: Space, config: HttpTriggerConfig, wanted: HttpTriggerChange
    ) -> HttpTriggerConfig:
        context = certificate_key_context(space.space_id)
        if (wanted.certificate is None) != (wanted.private_key is None) or bool(
            wanted.certificate
        ) != bool(wanted.private_key):
            raise InvalidParameterError(
                "CustomDomainCertificate",
                "CustomDomainCertificate and CustomDomainPrivateKey belong together:"
                " give both, or none, or both empty",
            )
        if not config.custom_domain:
            if wanted.certificate:
                raise InvalidParameterError(
                    "CustomDomain", "a certificate needs a CustomDomain that it is for"
                )
            return replace(config, certificate_pem="", certificate_key_sealed=b"")
        if wanted.certificate == "":
            return replace(config, certificate_pem="", certificate_key_sealed=b"")
        if wanted.certificate and wanted.private_key:
            chain, key = wanted.certificate, wanted.private_key
        elif config.certificate_pem and config.custom_domain != space.http_triggers.custom_domain:
            chain = config.certificate_pem  # kept: it has to be for the new domain too
            key = self._box.open(config.certificate_key_sealed, context=context).decode()
        else:
            return config
        checked = check_certificate(
            chain, key, domain=config.custom_domain, now_ms=self._clock.now_ms()
        )
        return replace(
            config,
            certificate_pem=checked.chain_pem.decode(),
            certificate_key_sealed=self._box.seal(checked.key_pem, context=context),
        )

    def _check_domain(self, domain: str) -> str:
        """As it is stored: lower case, `xn--`. Empty stays empty."""
        if not domain:
            return ""
        try:
            name = ascii_name(domain)
        except ValueError as error:
            raise InvalidParameterError("CustomDomain", f"CustomDomain: {error}") from None
        ours = self._settings.trigger_domain
        if "." not in name or _is_address(name):
            reason = "is no public host name"
        elif name.endswith(".localhost"):
            reason = "is a name of every machine for itself"
        elif name == ours or name.endswith(f".{ours}"):
            reason = f"belongs to the trigger domain {ours} (YUNHAN_TRIGGER_DOMAIN)"
        elif name in self._settings.own_hosts:
            reason = "is an address of this server itself (YUNHAN_PUBLIC_URL)"
        else:
            return name
        raise InvalidParameterError("CustomDomain", f"CustomDomain: {name} {reason}")

    def _check_bound(self, parameter: str, value: int | None) -> None:
        highest = self._settings.trigger_body_max_bytes
        if value is not None and not 0 <= value <= highest:
            raise InvalidParameterError(
                parameter,
                f"{parameter} is 0 (the default) to {highest} bytes (YUNHAN_TRIGGER_BODY_MAX_BYTES),"
                f" not {value}",
            )


def _bound(present: int | None, wanted: int | None) -> int | None:
    return present if wanted is None else wanted or None


def _is_address(name: str) -> bool:
    """In every spelling that resolvers take: no top-level domain is a number."""
    return _NUMBER.fullmatch(name.rpartition(".")[2]) is not None
