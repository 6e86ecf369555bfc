"""The engine's stream of events about our containers: a thread that follows it and reconnects."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import requests
import structlog
from docker.errors import DockerException  # type: ignore[import-untyped]

from sandbox.spawners.docker_options import OWNER_LABEL

_log = structlog.get_logger(__name__)

_RETRY_FIRST_S = 0.1
_RETRY_MAX_S = 2.0
# The engine opens the stream a moment before it listens; what came between is asked for again.
_OVERLAP_S = 2
_ACTIONS = ["die", "oom", "kill"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineEvent:
    """`action` is one of die, oom and kill; `exit_code` is set for die. May come twice."""

    action: str
    container_id: str
    exit_code: int | None


class EventsPeer(Protocol):
    """Who is told, on the event loop. None of these may block or raise."""

    def on_engine_event(self, event: EngineEvent) -> None: ...

    def on_engine_connected(self) -> None:
        """Events come from now on; some may have been missed before."""

    def on_engine_lost(self) -> None:
        """The stream broke: the engine ended, or was restarted."""


class EngineEvents:
    """Follows the events of one owner's containers from `start` to `stop`."""

    def __init__(self, new_client: Callable[[], Any], owner: str, peer: EventsPeer) -> None:
        self._new_client = new_client
        self._owner = owner
        self._peer = peer
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._stream: Any = None
        self._thread = threading.Thread(target=self._follow, name="docker events", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        """Idempotent."""
        with self._lock:
            self._stopping.set()
            if self._stream is not None:
                self._stream.close()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    def _follow(self) -> None:
        pause_s = _RETRY_FIRST_S
        while not self._stopping.is_set():
            connected = False
            try:
                client = self._new_client()
                try:
                    connected = self._read(client)
                finally:
                    client.close()
            except (DockerException, requests.exceptions.RequestException, OSError) as error:
                if not self._stopping.is_set():
                    _log.warning("docker_events_lost", reason=str(error)[:200])
            except Exception:  # noqa: BLE001 - of the SDK's decoding; the thread must live on
                _log.exception("docker_events_failed")
            if connected:
                pause_s = _RETRY_FIRST_S
            self._tell(self._peer.on_engine_lost)
            self._stopping.wait(pause_s)
            pause_s = min(pause_s * 2, _RETRY_MAX_S)

    def _read(self, client: Any) -> bool:
        """Read until the stream ends; whether it was opened."""
        stream = client.events(
            since=int(time.time()) - _OVERLAP_S,
            filters={
                "type": "container",
                "event": _ACTIONS,
                "label": f"{OWNER_LABEL}={self._owner}",
            },
            decode=True,
        )
        with self._lock:
            if self._stopping.is_set():
                stream.close()
                return True
            self._stream = stream
        try:
            self._tell(self._peer.on_engine_connected)
            for event in stream:
                self._tell(self._peer.on_engine_event, _event(event))
        finally:
            with self._lock:
                self._stream = None
                with contextlib.suppress(OSError):
                    stream.close()
        return True

    def _tell(self, callback: Callable[..., object], *args: Any) -> None:
        if not self._stopping.is_set():
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(callback, *args)


def _event(event: Mapping[str, Any]) -> EngineEvent:
    actor = event["Actor"]
    code = actor["Attributes"].get("exitCode")
    return EngineEvent(
        action=str(event["Action"]),
        container_id=str(actor["ID"]),
        exit_code=None if code is None else int(code),
    )
