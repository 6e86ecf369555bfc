"""Control plane in memory: for tests, and as the model of what the port means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from runtime.backends.control_codec import timers_of
from runtime.errors import ConflictError, DomainTakenError, NotFoundError
from runtime.messages import Deployment, DeploymentStatus, Space
from runtime.ports import ControlStore, CustomDomain, Timer, TokenKey

T = TypeVar("T")


class ControlMemory(ControlStore):
    """See `ControlStore`. Nothing awaits, so every method is one step."""

    def __init__(self) -> None:
        self._spaces: dict[str, Space] = {}
        self._deployments: dict[str, Deployment] = {}
        self._token_keys: dict[str, TokenKey] = {}
        self._shared: dict[str, bytes] = {}

    async def create_space(self, space: Space) -> None:
        if space.space_id in self._spaces:
            raise ConflictError("AlreadyExists", f"space {space.space_id} exists already")
        self._check_domain(space)
        self._spaces[space.space_id] = _copy(space)

    async def read_space(self, space_id: str) -> Space | None:
        space = self._spaces.get(space_id)
        return _copy(space) if space else None

    async def replace_space(self, space: Space) -> None:
        stored = self._spaces.get(space.space_id)
        if stored is None:
            raise NotFoundError("SpaceNotFound", f"space {space.space_id} does not exist")
        if stored.revision != space.revision - 1:
            raise ConflictError("Conflict", f"space {space.space_id} was changed meanwhile")
        self._check_domain(space)
        self._spaces[space.space_id] = _copy(space)

    async def custom_domains(self) -> Sequence[CustomDomain]:
        return [
            CustomDomain(domain=domain, space_id=each.space_id, revision=each.revision)
            for each in self._spaces.values()
            if (domain := each.http_triggers.custom_domain)
        ]

    async def timers(self) -> Sequence[Timer]:
        return [timer for each in self._spaces.values() for timer in timers_of(each)]

    async def delete_space(self, space_id: str) -> None:
        self._drop_deployments(lambda each: each.space_id == space_id)
        self._spaces.pop(space_id, None)

    async def list_spaces(
        self, *, space_ids: Sequence[str] = (), offset: int, limit: int
    ) -> tuple[Sequence[Space], int]:
        found = [
            each for each in self._spaces.values() if not space_ids or each.space_id in space_ids
        ]
        found.sort(key=lambda each: (each.created_ms, each.space_id), reverse=True)
        return [_copy(each) for each in _page(found, offset, limit)], len(found)

    async def revisions(self, space_ids: Sequence[str]) -> Mapping[str, int]:
        return {i: self._spaces[i].revision for i in space_ids if i in self._spaces}

    async def create_deployment(self, deployment: Deployment) -> None:
        if deployment.deployment_id in self._deployments:
            raise ConflictError(
                "AlreadyExists", f"deployment {deployment.deployment_id} exists already"
            )
        self._deployments[deployment.deployment_id] = deployment

    async def read_deployment(self, space_id: str, deployment_id: str) -> Deployment | None:
        found = self._deployments.get(deployment_id)
        return found if found and found.space_id == space_id else None

    async def replace_deployment(
        self, deployment: Deployment, *, expected: DeploymentStatus
    ) -> None:
        stored = await self.read_deployment(deployment.space_id, deployment.deployment_id)
        if stored is None:
            raise NotFoundError(
                "DeploymentNotFound", f"deployment {deployment.deployment_id} does not exist"
            )
        if stored.status is not expected:
            raise ConflictError(
                "Conflict",
                f"deployment {deployment.deployment_id} is not {expected.value} any more",
            )
        self._deployments[deployment.deployment_id] = deployment

    async def list_deployments(
        self,
        space_id: str,
        *,
        function: str | None = None,
        status: DeploymentStatus | None = None,
        offset: int,
        limit: int,
    ) -> tuple[Sequence[Deployment], int]:
        found = [
            each
            for each in self._deployments.values()
            if each.space_id == space_id
            and (function is None or each.function == function)
            and (status is None or each.status is status)
        ]
        found.sort(key=lambda each: (each.created_ms, each.deployment_id), reverse=True)
        return _page(found, offset, limit), len(found)

    async def delete_deployments(self, space_id: str, function: str) -> None:
        self._drop_deployments(lambda d: d.space_id == space_id and d.function == function)

    async def digest_in_use(self, digest: str) -> bool:
        return any(each.digest == digest for each in self._deployments.values())

    async def token_keys(self) -> Sequence[TokenKey]:
        return sorted(
            self._token_keys.values(), key=lambda key: (key.created_ms, key.key_id), reverse=True
        )

    async def add_token_key(self, key: TokenKey) -> None:
        self._token_keys.setdefault(key.key_id, key)

    async def delete_token_key(self, key_id: str) -> None:
        self._token_keys.pop(key_id, None)

    async def keep_first(self, name: str, sealed: bytes) -> bytes:
        return self._shared.setdefault(name, sealed)

    def _check_domain(self, space: Space) -> None:
        domain = space.http_triggers.custom_domain
        if domain and any(
            each.http_triggers.custom_domain == domain and each.space_id != space.space_id
            for each in self._spaces.values()
        ):
            raise DomainTakenError(domain)

    def _drop_deployments(self, gone: Callable[[Deployment], bool]) -> None:
        self._deployments = {k: each for k, each in self._deployments.items() if not gone(each)}


def _copy(space: Space) -> Space:
    """The mapping of functions is the caller's; what is stored must not change with it."""
    return replace(space, functions=dict(space.functions))


def _page(found: Sequence[T], offset: int, limit: int) -> Sequence[T]:
    return found[offset : offset + limit]
