"""What a function says about its asynchronous jobs: read and change."""

from __future__ import annotations

from dataclasses import dataclass, replace

from runtime.messages import AsyncConfig, Function, Space
from runtime.ports import Clock
from runtime.services.async_terms import AsyncDefaults, check_config
from runtime.services.functions import function_of, with_function
from runtime.services.space_editor import SpaceEditor


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncChange:
    """Wanted settings; None = as they are."""

    reset: bool = False
    """First back to the installation's defaults."""
    attempts_max: int | None = None
    backoff_first_s: float | None = None
    backoff_longest_s: float | None = None
    retry_function: bool | None = None
    http: bool | None = None

    def applied_to(self, config: AsyncConfig) -> AsyncConfig:
        wanted = {
            name: getattr(self, name)
            for name in AsyncConfig.__dataclass_fields__
            if getattr(self, name) is not None
        }
        return replace(AsyncConfig() if self.reset else config, **wanted)


class FunctionAsyncService:
    """Use cases. Unknown spaces and functions raise NotFoundError."""

    def __init__(self, *, editor: SpaceEditor, clock: Clock, defaults: AsyncDefaults) -> None:
        self._editor = editor
        self._clock = clock
        self.defaults = defaults

    async def get(self, space_id: str, name: str) -> Function:
        """The stored function."""
        return function_of(await self._editor.read(space_id), name)

    async def update(self, space_id: str, name: str, wanted: AsyncChange) -> Function:
        """Holds for jobs that are accepted from then on. Raises InvalidParameterError."""

        def change(space: Space) -> Space:
            function = function_of(space, name)
            config = wanted.applied_to(function.asynchronous)
            if config == function.asynchronous:
                return space
            check_config(config)
            now_ms = self._clock.now_ms()
            return with_function(space, replace(function, asynchronous=config, modified_ms=now_ms))

        return function_of(await self._editor.change(space_id, change), name)
