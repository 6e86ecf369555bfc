"""Functions of a space: create, read, change, delete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from runtime.errors import CallerError, ConflictError, NotFoundError
from runtime.messages import Function, Space
from runtime.ports import Clock, ControlStore
from runtime.services.code_blobs import CodeBlobs
from runtime.services.function_rules import check_function, check_timer
from runtime.services.naming import check_desc, check_function_name
from runtime.services.space_editor import SpaceEditor
from runtime.settings import Settings
from runtime.trigger.paths import check_trigger_path

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionChange:
    """Wanted settings of a function; None = as it is (or the default of a new one)."""

    desc: str | None = None
    runtime: str | None = None
    timeout_s: int | None = None
    memory_mb: int | None = None
    concurrency: int | None = None
    http_path: str | None = None
    timer_cron: str | None = None
    timer_payload: str | None = None

    def applied_to(self, function: Function) -> Function:
        return replace(
            function,
            desc=function.desc if self.desc is None else self.desc,
            runtime=function.runtime if self.runtime is None else self.runtime,
            timeout_s=function.timeout_s if self.timeout_s is None else self.timeout_s,
            memory_mb=function.memory_mb if self.memory_mb is None else self.memory_mb,
            concurrency=function.concurrency if self.concurrency is None else self.concurrency,
            http_path=function.http_path if self.http_path is None else self.http_path,
            timer_cron=function.timer_cron if self.timer_cron is None else self.timer_cron,
            timer_payload=function.timer_payload
            if self.timer_payload is None
            else self.timer_payload,
        )


def function_of(space: Space, name: str) -> Function:
    """Raises NotFoundError (FunctionNotFound)."""
    function = space.functions.get(name)
    if function is None:
        raise NotFoundError(
            "FunctionNotFound", f"there is no function {name[:64]} in space {space.space_id}"
        )
    return function


def with_function(space: Space, function: Function) -> Space:
    """The space with this function added or replaced."""
    return replace(space, functions={**space.functions, function.name: function})


class FunctionService:
    """Use cases of functions. Unknown spaces and functions raise NotFoundError."""

    def __init__(
        self,
        *,
        control: ControlStore,
        blobs: CodeBlobs,
        editor: SpaceEditor,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._control = control
        self._blobs = blobs
        self._editor = editor
        self._clock = clock
        self._settings = settings

    async def create(self, space_id: str, name: str, wanted: FunctionChange) -> Function:
        """A function without code. Raises InvalidParameterError, ConflictError
        (FunctionAlreadyExists), CallerError when the space has too many."""
        check_function_name(name, self._settings)
        now_ms = self._clock.now_ms()
        function = wanted.applied_to(Function(name=name, created_ms=now_ms, modified_ms=now_ms))
        self._check(function)
        if function.timer_cron:
            function = replace(function, timer_set_ms=now_ms)

        def add(space: Space) -> Space:
            if name in space.functions:
                raise ConflictError(
                    "FunctionAlreadyExists", f"space {space_id} has a function {name} already"
                )
            if len(space.functions) >= self._settings.functions_per_space_max:
                raise CallerError(
                    "FunctionLimitExceeded",
                    f"space {space_id} has {len(space.functions)} functions,"
                    " the limit (YUNHAN_FUNCTIONS_PER_SPACE_MAX)",
                )
            _check_path_is_free(space, function)
            return with_function(space, function)

        await self._editor.change(space_id, add)
        return function

    async def get(self, space_id: str, name: str) -> Function:
        """The stored function."""
        return function_of(await self._editor.read(space_id), name)

    async def page(
        self, space_id: str, *, name_part: str = "", offset: int, limit: int
    ) -> tuple[Sequence[Function], int]:
        """One page by name, and the total. `name_part` in any case; empty = all."""
        space = await self._editor.read(space_id)
        wanted = name_part.casefold()
        found = [
            space.functions[name] for name in sorted(space.functions) if wanted in name.casefold()
        ]
        return found[offset : offset + limit], len(found)

    async def update(self, space_id: str, name: str, wanted: FunctionChange) -> Function:
        """Change what is given; the next call has the new settings. Raises InvalidParameterError."""

        def change(space: Space) -> Space:
            function = function_of(space, name)
            changed = wanted.applied_to(function)
            if changed == function:
                return space
            self._check(changed)
            _check_path_is_free(space, changed)
            now_ms = self._clock.now_ms()
            if changed.timer_cron != function.timer_cron:
                changed = replace(changed, timer_set_ms=now_ms)
            return with_function(space, replace(changed, modified_ms=now_ms))

        return function_of(await self._editor.change(space_id, change), name)

    async def delete(self, space_id: str, name: str) -> None:
        """The function with its deployments and code; its records stay until they are old.

        It loses its live code first, so that a crash leaves a function that can be deleted again, and the
        second round takes deployments that were made meanwhile.
        """

        def undeploy(space: Space) -> Space:
            function = function_of(space, name)
            return with_function(
                space, replace(function, live_deployment_id=None, live_digest=None)
            )

        def remove(space: Space) -> Space:
            others = {key: value for key, value in space.functions.items() if key != name}
            return replace(space, functions=others)

        await self._editor.change(space_id, undeploy)
        await self._delete_deployments(space_id, name)
        await self._editor.change(space_id, remove)
        await self._delete_deployments(space_id, name)
        _log.info("function_deleted", space=space_id, function=name)

    async def _delete_deployments(self, space_id: str, name: str) -> None:
        digests = await self._blobs.claimed_by(space_id, name)
        await self._control.delete_deployments(space_id, name)
        await self._blobs.drop_unused(digests)

    def _check(self, function: Function) -> None:
        check_desc(function.desc, self._settings)
        check_function(function)
        check_timer(function, payload_max=self._settings.timer_payload_max)
        if function.http_path:
            check_trigger_path(function.http_path, max_characters=self._settings.trigger_path_max)


def _check_path_is_free(space: Space, function: Function) -> None:
    for other in space.functions.values():
        if other.name != function.name and "" != other.http_path == function.http_path:
            raise ConflictError(
                "HttpTriggerPathAlreadyExists",
                f"{function.http_path} is the path of function {other.name} in space {space.space_id}",
            )
