"""Which web pages may call a space from browsers: its list of origins (spec: functions, CORS)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import structlog

from runtime.errors import CallerError, InvalidParameterError
from runtime.ids import new_cors_domain_id
from runtime.messages import AccessConfig, CorsDomain, Space
from runtime.ports import Clock
from runtime.services.origins import OriginPattern, host_matches, read_origin, read_pattern
from runtime.services.space_editor import SpaceEditor

_log = structlog.get_logger(__name__)

_WEB = ("http", "https")


class OriginRefusedError(CallerError):
    """A page from elsewhere called in somebody's browser."""

    def __init__(self, space_id: str) -> None:
        super().__init__(
            "OriginNotAllowed",
            f"pages of this origin may not call space {space_id}; its CORS list names those that may"
            " (AddCorsDomain, yunhan cors add)",
        )


class CorsService:
    """Use cases. Unknown spaces raise NotFoundError."""

    def __init__(self, *, editor: SpaceEditor, clock: Clock, domains_max: int) -> None:
        self._editor = editor
        self._clock = clock
        self._domains_max = domains_max

    async def domains(self, space_id: str) -> tuple[CorsDomain, ...]:
        """In the order of their adding."""
        return (await self._editor.read(space_id)).access.cors

    async def add(self, space_id: str, domain: str) -> CorsDomain:
        """Allow an origin; it holds at the next call that knows of it. The same again, in any spelling, gives
        what is there. Raises InvalidParameterError for what is no domain or one too many."""
        try:
            text = str(read_pattern(domain))
        except ValueError as error:
            raise InvalidParameterError(
                "Domain", f"Domain {domain[:100]!r} must be {error}"
            ) from None
        wanted = CorsDomain(domain_id=new_cors_domain_id(), domain=text)

        def apply(space: Space) -> Space:
            there = space.access.cors
            if any(each.domain == text for each in there):
                return space
            if len(there) >= self._domains_max:
                raise InvalidParameterError(
                    "Domain",
                    f"space {space_id} has {len(there)} domains, the limit is {self._domains_max}"
                    " (YUNHAN_CORS_DOMAINS_MAX); remove one first",
                    code="CorsDomainLimitExceeded",
                )
            return self._with(space, (*there, wanted))

        space = await self._editor.change(space_id, apply)
        _log.info("cors_domain_added", space=space_id, domain=text)
        return next(each for each in space.access.cors if each.domain == text)

    async def delete(self, space_id: str, domain_id: str) -> None:
        """Take an origin back. One that is not there is no error: a deletion can be repeated."""

        def apply(space: Space) -> Space:
            kept = tuple(each for each in space.access.cors if each.domain_id != domain_id)
            return space if kept == space.access.cors else self._with(space, kept)

        await self._editor.change(space_id, apply)
        _log.info("cors_domain_deleted", space=space_id, domain_id=domain_id[:64])

    def _with(self, space: Space, cors: tuple[CorsDomain, ...]) -> Space:
        access = replace(space.access, cors=cors)
        return replace(space, access=access, modified_ms=self._clock.now_ms())


def origin_allowed(access: AccessConfig, text: str, always: Iterable[str]) -> bool:
    """Whether a page from origin `text`, as its browser wrote it, may call a space. `always` are hosts whose
    http and https pages may call every space, at any port. A text that is no origin may only where every page
    may (`*`), and so may `null`, which is anybody's sandboxed page or file."""
    patterns = _patterns(access)
    origin = read_origin(text)
    if origin is None:
        return text == "null" and any(each.host == "*" for each in patterns)
    if origin.scheme in _WEB and any(host_matches(each, origin.host) for each in always):
        return True
    return any(each.allows(origin) for each in patterns)


def _patterns(access: AccessConfig) -> list[OriginPattern]:
    """Those that this version cannot read, which another one stored, allow nothing."""
    patterns = []
    for each in access.cors:
        try:
            patterns.append(read_pattern(each.domain))
        except ValueError:
            continue
    return patterns
