"""Egress rules of spaces and functions: read, add, remove, and what they inherit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog

from runtime.errors import InvalidParameterError
from runtime.messages import EgressConfig, EgressMode, Function, Space
from runtime.ports import Clock
from runtime.services.egress_rules import (
    EgressRuleLimits,
    check_number,
    check_within,
    opened,
    read_rules,
)
from runtime.services.functions import function_of, with_function
from runtime.services.space_editor import SpaceEditor

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressChange:
    """What to do with the egress of a space or function: its mode, then all rules away, some away, some
    more."""

    mode: EgressMode | None = None
    """None = as it is."""
    clear: bool = False
    remove: tuple[str, ...] = ()
    """Rules that are not there are no error: a change can be repeated."""
    allow: tuple[str, ...] = ()

    def read(self, limits: EgressRuleLimits) -> EgressChange:
        """The same with every rule in its stored form. Raises InvalidParameterError."""
        allow = read_rules(self.allow, "Allow", limits)
        check_within(allow, "Allow", limits)
        remove = read_rules(self.remove, "Remove", limits)
        both = [rule for rule in allow if rule in remove]
        if both:
            raise InvalidParameterError("Remove", f"{both[0]} is in Allow and in Remove")
        return replace(self, allow=allow, remove=remove)

    def applied_to(self, egress: EgressConfig) -> EgressConfig:
        """Of a change that was `read`."""
        kept = () if self.clear else egress.allow
        return EgressConfig(
            mode=egress.mode if self.mode is None else self.mode,
            allow=tuple(
                dict.fromkeys([*(rule for rule in kept if rule not in self.remove), *self.allow])
            ),
        )


class EgressService:
    """Use cases. Unknown spaces and functions raise NotFoundError."""

    def __init__(self, *, editor: SpaceEditor, clock: Clock, limits: EgressRuleLimits) -> None:
        self._editor = editor
        self._clock = clock
        self.limits = limits

    async def get(self, space_id: str) -> Space:
        """The stored space, with what it and its functions say."""
        return await self._editor.read(space_id)

    async def update(self, space_id: str, name: str | None, wanted: EgressChange) -> Space:
        """Change the egress of function `name`, or (None) of the space; sandboxes bound from then on have it,
        and those that were bound before take no further call that knows of the change.

        The same again changes nothing. Raises InvalidParameterError for a rule that cannot be read, is too
        long, opens what it may not, or is one too many."""
        change = wanted.read(self.limits)

        def apply(space: Space) -> Space:
            owner = space if name is None else function_of(space, name)
            egress = change.applied_to(owner.egress)
            if change.allow:
                check_number(egress.allow, "Allow", self.limits)
            if egress == owner.egress:
                return space
            now_ms = self._clock.now_ms()
            if isinstance(owner, Function):
                return with_function(space, replace(owner, egress=egress, modified_ms=now_ms))
            return replace(space, egress=egress, modified_ms=now_ms)

        space = await self._editor.change(space_id, apply)
        self._tell(space_id, name, change)
        return space

    @staticmethod
    def _tell(space_id: str, name: str | None, change: EgressChange) -> None:
        _log.info(
            "egress_changed",
            space=space_id,
            function=name,
            mode=change.mode.value if change.mode else None,
            cleared=change.clear,
            removed=list(change.remove),
            allowed=list(change.allow),
        )
        for rule in change.allow:
            if kinds := opened(rule):
                _log.warning(
                    "egress_opens_special_addresses",
                    space=space_id,
                    function=name,
                    rule=rule,
                    opens=kinds,
                )
