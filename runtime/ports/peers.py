"""Other processes of the installation, for what only one of them can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

PeerHandler = Callable[[bytes], Awaitable[bytes]]
"""Answers a question of another process. Never raises but for cancellation."""


class NobodyThereError(Exception):
    """No process of that id is connected: it ended, or never was."""


class Peers(ABC):
    """Questions and answers between processes, small ones, at most once."""

    @abstractmethod
    def open(self, process_id: str, handler: PeerHandler) -> AbstractAsyncContextManager[None]:
        """Answer what others ask the process of this id, as long as the context lasts."""

    @abstractmethod
    async def ask(self, process_id: str, question: bytes, *, timeout_s: float) -> bytes:
        """The answer of another process. Raises NobodyThereError, UnavailableError when no answer came in
        time: nobody knows then whether it was done."""

    @property
    @abstractmethod
    def problem(self) -> str | None:
        """What keeps this process from asking others or from being asked now, for people; None when all is
        well."""

    @abstractmethod
    async def wait_failed(self) -> None:
        """For ever, while it works; raises the reason when it does not any more."""
