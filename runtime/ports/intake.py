"""Where other systems leave messages that ask for jobs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeMessage:
    """A message of another system. Nothing in it is to be believed but `user_id`."""

    body: bytes | None = field(repr=False)
    """None: larger than a message may be, it was not even kept."""
    size: int
    """Bytes of the body."""
    user_id: str | None
    """The broker's user that sent it, as the broker itself checked it; None when it did not say."""
    message_id: str | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    rounds: int = 0
    """How often it was delayed."""
    refusals: int = 0
    """How many of those because jobs of its space were refused."""


class IntakeDelivery(ABC):
    """One such message in our hands. Exactly one of the methods is called, once more or another one when it
    raised.

    Until then the broker keeps it: a gateway that dies loses nothing, another one gets it."""

    message: IntakeMessage

    @abstractmethod
    async def accept(self) -> None:
        """A job was made of it: forget it. Never raises but for cancellation; a message whose
        acknowledgement is lost comes again."""

    @abstractmethod
    async def refuse(self, reason: str, detail: str) -> None:
        """Put it to the dead letters, then forget it. Raises OursError: it is still in our hands."""

    @abstractmethod
    async def delay(self, *, refused: bool) -> None:
        """This or another gateway gets it again after the adapter's delay, and others come first until then;
        `refused` counts. Only for a message that has a body. Raises OursError: it is still in our hands."""

    @abstractmethod
    async def put_back(self) -> None:
        """Nothing was done with it: this or another gateway gets it again. Raises as `accept`."""


class Intake(ABC):
    """Where other systems leave messages that ask for jobs."""

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[None]:
        """Connect; what is in our hands at the exit comes again."""

    @abstractmethod
    async def take(self) -> IntakeDelivery:
        """Wait for the next message, at most so many at a time as the adapter was told. Safe to cancel.
        Raises UnavailableError when the intake is closed. Lost connections are made again meanwhile."""

    @abstractmethod
    async def stop_taking(self) -> None:
        """Nobody takes any more: `take` waits for ever, what nobody took goes back."""

    @property
    @abstractmethod
    def problem(self) -> str | None:
        """What keeps messages from coming, for people; None when all is well."""
