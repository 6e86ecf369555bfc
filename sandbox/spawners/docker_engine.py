"""The Docker engine as awaitable calls: threads of its own, every error a `SandboxError`.

The SDK blocks, so each call runs in a small pool. Calls that end sandboxes have a pool of their own and
never wait behind those that start them; questions about an end, which is due within a second, have
another and never wait behind a crowd of removals. Each thread has its own client: a session of the SDK
is not safe to share.
"""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

import docker  # type: ignore[import-untyped]
import requests
import structlog
from docker.errors import (  # type: ignore[import-untyped]
    APIError,
    BuildError,
    DockerException,
    NotFound,
)

from sandbox.api import SandboxError
from sandbox.handle import OUTPUT_TAIL_BYTES
from sandbox.spawners.docker_connection import OneConnection
from sandbox.spawners.docker_errors import (
    EngineGoneError,
    ImageGoneError,
    NameTakenError,
    refused_by_engine,
)
from sandbox.spawners.docker_options import IMAGE_LABEL, OWNER_LABEL

_log = structlog.get_logger(__name__)

ResultT = TypeVar("ResultT")

_TAIL_LINES = 200
_CONFLICT = 409
_ENDING_THREADS = 4
_ASKING_THREADS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container as the engine lists it."""

    id: str
    name: str
    running: bool
    unstarted: bool
    """Made but, as far as the engine remembers, never started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """A container as the engine knows it now. `pid` is 0 when it does not run."""

    running: bool
    exit_code: int
    oom_killed: bool
    pid: int


class DockerEngine:
    """`url` is that of a unix socket; `timeout_s` bounds each single request but a build."""

    def __init__(self, url: str, *, makes_max: int = 4, timeout_s: float = 20.0) -> None:
        self.url = url
        self._path = re.sub(r"^unix:/*", "/", url)
        self._timeout_s = timeout_s
        self._version: str | None = None
        self._local = threading.local()
        self._clients: list[Any] = []
        self._making = ThreadPoolExecutor(makes_max, thread_name_prefix="docker make")
        self._ending = ThreadPoolExecutor(_ENDING_THREADS, thread_name_prefix="docker end")
        self._asking = ThreadPoolExecutor(_ASKING_THREADS, thread_name_prefix="docker ask")

    async def open(self) -> Mapping[str, Any]:
        """Agree on a version of the API. Returns what the engine says of itself."""
        return await self._call(self._making, "say what it is", self._open)

    async def close(self) -> None:
        """Wait for the calls under way, then close all connections. Idempotent."""
        for pool in (self._making, self._ending, self._asking):
            await asyncio.to_thread(pool.shutdown)
        while self._clients:
            self._clients.pop().close()

    def new_client(self) -> Any:
        """A client of the caller's own, who closes it. Blocking. Raises OSError and what the SDK does."""
        self._knock()
        client = docker.APIClient(base_url=self.url, version=self._version, timeout=self._timeout_s)
        client.mount(
            "http+docker://",
            OneConnection(self._path, timeout_s=self._timeout_s),
        )
        return client

    # --- making ---------------------------------------------------------------------------------

    async def has_image(self, tag: str) -> bool:
        return await self._call(self._making, f"look for the image {tag}", self._has_image, tag)

    async def build_image(
        self, context: Callable[[], BinaryIO], tag: str, arguments: Mapping[str, str]
    ) -> None:
        """`context` returns an open tar file with a Dockerfile; it is called in a thread."""
        await self._call(
            self._making, f"build the image {tag}", self._build_image, context, tag, arguments
        )

    async def remove_old_images(self, current: Collection[str]) -> Sequence[str]:
        """Remove the images of ours that are not `current` and that no container uses; their tags."""
        return await self._call(
            self._making, "remove old images", self._remove_old_images, frozenset(current)
        )

    async def create(self, name: str, config: Mapping[str, Any]) -> str:
        """The new container's id. Raises NameTakenError, ImageGoneError."""
        return await self._call(
            self._making, f"create the container {name}", self._create, name, config
        )

    async def start(self, container_id: str) -> ContainerState:
        return await self._call(
            self._making, f"start the container {container_id[:12]}", self._start, container_id
        )

    # --- ending ---------------------------------------------------------------------------------

    async def kill(self, container_id: str) -> None:
        """Idempotent: one that is gone or has ended is fine."""
        await self._call(self._ending, "kill a container", self._kill, container_id)

    async def state(self, container_id: str) -> ContainerState | None:
        """None when there is no such container."""
        return await self._call(self._asking, "inspect a container", self._state, container_id)

    async def output_tail(self, container_id: str) -> bytes:
        """The end of what it wrote; empty when it is gone."""
        return await self._call(self._asking, "read a container's log", self._tail, container_id)

    async def remove(self, container_id: str) -> None:
        """Kill and remove. Idempotent: gone, or being removed, is fine."""
        await self._call(self._ending, "remove a container", self._remove, container_id)

    async def remove_named(self, name: str, owner: str) -> str | None:
        """Remove that owner's container of that name; its id. None when there is none, or it is another
        owner's, which is left alone."""
        return await self._call(self._ending, "remove a container", self._remove_named, name, owner)

    async def containers_of(self, owner: str) -> Sequence[Container]:
        """All containers with that owner's label, ended ones included."""
        return await self._call(self._ending, "list the containers", self._containers_of, owner)

    # --- blocking -------------------------------------------------------------------------------

    async def _call(
        self, pool: ThreadPoolExecutor, what: str, call: Callable[..., ResultT], *args: Any
    ) -> ResultT:
        try:
            future = asyncio.get_running_loop().run_in_executor(
                pool, self._translated, what, call, args
            )
        except RuntimeError as error:  # after `close`
            raise EngineGoneError(f"the connection to {self.url} is closed.") from error
        return await future

    def _translated(
        self, what: str, call: Callable[..., ResultT], args: tuple[Any, ...]
    ) -> ResultT:
        try:
            self._knock()
            return call(*args)
        except APIError as error:
            raise refused_by_engine(what, str(error.explanation or error)) from error
        except BuildError as error:
            raise SandboxError(f"the Docker engine could not {what}: {error}.") from error
        except (DockerException, requests.exceptions.RequestException, OSError) as error:
            raise EngineGoneError.at(self.url, what, error) from error

    def _knock(self) -> None:
        """Raises OSError when nobody listens: the SDK tells it less clearly, and leaks a socket."""
        with socket.socket(socket.AF_UNIX) as knock:
            knock.settimeout(self._timeout_s)
            knock.connect(self._path)

    def _client(self) -> Any:
        client = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = self.new_client()
            self._clients.append(client)
        return client

    def _open(self) -> Mapping[str, Any]:
        client = docker.APIClient(base_url=self.url, version="auto", timeout=self._timeout_s)
        try:
            self._version = client.api_version
            info: Mapping[str, Any] = client.info()
        finally:
            client.close()
        return info

    def _has_image(self, tag: str) -> bool:
        try:
            self._client().inspect_image(tag)
        except NotFound:
            return False
        return True

    def _build_image(
        self, context: Callable[[], BinaryIO], tag: str, arguments: Mapping[str, str]
    ) -> None:
        """Twice, if need be: whoever removes old images meanwhile may take a layer out of the engine's cache
        that the first try builds on."""
        error = self._try_build(context, tag, arguments)
        if error is not None:
            error = self._try_build(context, tag, arguments, nocache=True)
        if error is not None:
            raise SandboxError(f"the image {tag} cannot be built: {error}.")

    def _try_build(
        self,
        context: Callable[[], BinaryIO],
        tag: str,
        arguments: Mapping[str, str],
        *,
        nocache: bool = False,
    ) -> str | None:
        """What the engine says is wrong; None when the image is there."""
        with context() as file:
            for line in self._client().build(
                fileobj=file,
                custom_context=True,
                tag=tag,
                buildargs=dict(arguments),
                nocache=nocache,
                rm=True,
                forcerm=True,
                decode=True,
            ):
                if "error" in line:
                    return str(line["error"])
        return None

    def _remove_old_images(self, current: frozenset[str]) -> Sequence[str]:
        client = self._client()
        removed: list[str] = []
        for image in client.images(filters={"label": IMAGE_LABEL}):
            tags = image["RepoTags"] or []
            if current.intersection(tags):
                continue
            try:
                client.remove_image(image["Id"])
            except NotFound:
                continue
            except APIError as error:
                if error.status_code != _CONFLICT:  # a container uses it
                    raise
            else:
                removed += tags
        return removed

    def _create(self, name: str, config: Mapping[str, Any]) -> str:
        try:
            created = self._client().create_container_from_config(dict(config), name)
        except NotFound as error:
            raise ImageGoneError.of(str(config["Image"]), str(error.explanation)) from error
        except APIError as error:
            if error.status_code == _CONFLICT:
                raise NameTakenError(f"the engine has a container {name} already.") from error
            raise
        for warning in created.get("Warnings") or ():
            _log.warning("docker_container_warning", container=name, warning=warning)
        return str(created["Id"])

    def _start(self, container_id: str) -> ContainerState:
        client = self._client()
        client.start(container_id)
        return _state(client.inspect_container(container_id))

    def _kill(self, container_id: str) -> None:
        try:
            self._client().kill(container_id)
        except NotFound:
            return
        except APIError as error:
            if error.status_code != _CONFLICT:  # not running
                raise

    def _state(self, container_id: str) -> ContainerState | None:
        try:
            return _state(self._client().inspect_container(container_id))
        except NotFound:
            return None

    def _tail(self, container_id: str) -> bytes:
        try:
            output: bytes = self._client().logs(container_id, tail=_TAIL_LINES)
        except NotFound:
            return b""
        return output[-OUTPUT_TAIL_BYTES:]

    def _remove(self, container_id: str) -> None:
        try:
            self._client().remove_container(container_id, force=True, v=True)
        except NotFound:
            return
        except APIError as error:
            if error.status_code != _CONFLICT:  # being removed already
                raise

    def _remove_named(self, name: str, owner: str) -> str | None:
        try:
            found = self._client().inspect_container(name)
        except NotFound:
            return None
        if (found["Config"]["Labels"] or {}).get(OWNER_LABEL) != owner:
            return None
        self._remove(found["Id"])
        return str(found["Id"])

    def _containers_of(self, owner: str) -> Sequence[Container]:
        listed = self._client().containers(all=True, filters={"label": f"{OWNER_LABEL}={owner}"})
        return [
            Container(
                id=item["Id"],
                name=item["Names"][0].lstrip("/") if item["Names"] else "",
                running=item["State"] in {"running", "created", "paused", "restarting"},
                unstarted=item["State"] == "created",
            )
            for item in listed
        ]


def _state(inspected: Mapping[str, Any]) -> ContainerState:
    state = inspected["State"]
    return ContainerState(
        running=bool(state["Running"]),
        exit_code=int(state["ExitCode"]),
        oom_killed=bool(state["OOMKilled"]),
        pid=int(state["Pid"]),
    )
