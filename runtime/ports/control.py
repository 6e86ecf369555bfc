"""Spaces, deployments and keys: the durable control plane."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runtime.messages import Deployment, DeploymentStatus, Space


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """A key that signs end users' tokens. `sealed` is ciphertext."""

    key_id: str
    sealed: bytes
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomDomain:
    """Which space a custom domain belongs to, and the stored revision of that space."""

    domain: str
    space_id: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """The timer trigger of one function, as its space says it."""

    space_id: str
    function: str
    cron: str
    """As its owner wrote it."""
    set_ms: int
    """When it was set, ms since 1970: earlier ticks are none of its own."""

    @property
    def key(self) -> TimerKey:
        return (self.space_id, self.function)


TimerKey = tuple[str, str]
"""Space id and function name."""


class ControlStore(ABC):
    """Spaces (with their functions), deployments and token keys: the durable control plane."""

    @abstractmethod
    async def create_space(self, space: Space) -> None:
        """Raises ConflictError when the id exists, DomainTakenError when another space has its custom
        domain."""

    @abstractmethod
    async def read_space(self, space_id: str) -> Space | None: ...

    @abstractmethod
    async def replace_space(self, space: Space) -> None:
        """Compare-and-set: stores `space` when the stored revision is `space.revision - 1`.

        Raises ConflictError when it is another, NotFoundError when the space is gone, DomainTakenError
        when another space has its custom domain."""

    @abstractmethod
    async def custom_domains(self) -> Sequence[CustomDomain]:
        """Of all spaces that have one, in any order."""

    @abstractmethod
    async def timers(self) -> Sequence[Timer]:
        """Of all functions that have one, in any order; also of paused spaces and without code."""

    @abstractmethod
    async def delete_space(self, space_id: str) -> None:
        """The space and its deployments. Idempotent. Deployments go first, so that a crash in
        between leaves a space that can be deleted again."""

    @abstractmethod
    async def list_spaces(
        self, *, space_ids: Sequence[str] = (), offset: int, limit: int
    ) -> tuple[Sequence[Space], int]:
        """One page, newest first, and the total. `space_ids` empty = all."""

    @abstractmethod
    async def revisions(self, space_ids: Sequence[str]) -> Mapping[str, int]:
        """Stored revision of each of these spaces that exists."""

    @abstractmethod
    async def create_deployment(self, deployment: Deployment) -> None:
        """Raises ConflictError when the id exists."""

    @abstractmethod
    async def read_deployment(self, space_id: str, deployment_id: str) -> Deployment | None: ...

    @abstractmethod
    async def replace_deployment(
        self, deployment: Deployment, *, expected: DeploymentStatus
    ) -> None:
        """Compare-and-set on the status. Raises ConflictError or NotFoundError."""

    @abstractmethod
    async def list_deployments(
        self,
        space_id: str,
        *,
        function: str | None = None,
        status: DeploymentStatus | None = None,
        offset: int,
        limit: int,
    ) -> tuple[Sequence[Deployment], int]:
        """One page, newest first, and the total."""

    @abstractmethod
    async def delete_deployments(self, space_id: str, function: str) -> None:
        """All deployments of one function. Idempotent."""

    @abstractmethod
    async def digest_in_use(self, digest: str) -> bool:
        """Whether any deployment of any space still has this digest."""

    @abstractmethod
    async def token_keys(self) -> Sequence[TokenKey]:
        """All live keys, newest first."""

    @abstractmethod
    async def add_token_key(self, key: TokenKey) -> None:
        """Idempotent by `key_id`."""

    @abstractmethod
    async def delete_token_key(self, key_id: str) -> None:
        """Idempotent."""

    @abstractmethod
    async def keep_first(self, name: str, sealed: bytes) -> bytes:
        """Store a sealed value that the whole installation shares, unless there is one of this name.
        Returns the stored one: the same for every program, whoever comes first."""
