"""Environment variables of functions: read, set, unset. Sealed at rest (design decision 11)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import structlog

from runtime.errors import InvalidParameterError, OursError
from runtime.messages import Function, Space
from runtime.ports import Clock
from runtime.services.function_env_rules import (
    EnvLimits,
    check_env_bounds,
    check_env_name,
    check_env_value,
)
from runtime.services.functions import function_of, with_function
from runtime.services.sealed_env import SealedEnv
from runtime.services.space_editor import SpaceEditor

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvChange:
    """What to do with a function's variables, in this order: all away, some away, some set."""

    clear: bool = False
    unset: frozenset[str] = frozenset()
    """Names that are not there are no error: a change can be repeated."""
    set: Mapping[str, object] = field(default_factory=dict, repr=False)

    def check(self) -> None:
        """Raises InvalidParameterError."""
        for name, value in self.set.items():
            check_env_name(name)
            check_env_value(name, value)
            if name in self.unset:
                raise InvalidParameterError("Unset", f"{name} is in Set and in Unset")

    def applied_to(self, env: Mapping[str, str]) -> dict[str, str]:
        """Sorted by name."""
        kept = {name: value for name, value in env.items() if name not in self.unset}
        given = {name: str(value) for name, value in self.set.items()}
        return dict(sorted({**kept, **given}.items()))


class FunctionEnvService:
    """Use cases. Unknown spaces and functions raise NotFoundError."""

    def __init__(
        self, *, editor: SpaceEditor, sealed: SealedEnv, clock: Clock, limits: EnvLimits
    ) -> None:
        self._editor = editor
        self._sealed = sealed
        self._clock = clock
        self.limits = limits

    async def get(self, space_id: str, name: str) -> dict[str, str]:
        """The stored variables by name. Raises OursError when they do not open."""
        return self._open(space_id, function_of(await self._editor.read(space_id), name))

    async def update(self, space_id: str, name: str, wanted: EnvChange) -> dict[str, str]:
        """Change what is given; the next call has it, in a sandbox of its own. Returns all variables.

        The same values again change nothing. Raises InvalidParameterError for a name, a value or a
        size that is not allowed; `clear` also helps when the stored variables do not open any more."""
        wanted.check()

        def change(space: Space) -> Space:
            function = function_of(space, name)
            present = {} if wanted.clear else self._open(space_id, function)
            env = wanted.applied_to(present)
            if wanted.set:
                check_env_bounds(env, self.limits)
            if not self._differs(space_id, function, env):
                return space
            sealed = self._sealed.seal(env, space_id=space_id, function=name)
            now_ms = self._clock.now_ms()
            return with_function(space, replace(function, env_sealed=sealed, modified_ms=now_ms))

        space = await self._editor.change(space_id, change)
        _log.info(
            "function_env_changed",
            space=space_id,
            function=name,
            cleared=wanted.clear,
            set=len(wanted.set),
            unset=len(wanted.unset),
        )
        return self._open(space_id, function_of(space, name))

    def _differs(self, space_id: str, function: Function, env: Mapping[str, str]) -> bool:
        try:
            return self._open(space_id, function) != env
        except OursError:  # cleared because it does not open
            return True

    def _open(self, space_id: str, function: Function) -> dict[str, str]:
        return self._sealed.open_of(function.env_sealed, space_id=space_id, function=function.name)
