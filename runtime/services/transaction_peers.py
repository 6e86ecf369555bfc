"""Commands of transactions that another process has open, sent there and answered from there.

A question is JSON: space, command, bounds. An answer has the answer's fields, or an error: its class by name,
code and message. What cannot be read is a defect of ours or of another version and is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from runtime.documents.errors import DatabaseError
from runtime.documents.room import Room, RoomBounds
from runtime.documents.transactions import no_such_transaction
from runtime.errors import (
    CallerError,
    OursError,
    OverloadedError,
    UnavailableError,
    YunhanError,
)
from runtime.messages import CommandBounds, DocumentAnswer, DocumentCommand, Verb
from runtime.ports import NobodyThereError, PeerHandler, Peers
from sandbox.json_text import parse_json, write_json

_log = structlog.get_logger(__name__)

_WAY_S = 3.0
"""Beyond the command's own time: both ways, and its turn among the transaction's commands. With a command's
usual time that is less than the 5 s for which the SDKs wait: their callers are told what happened."""

_ENDS = frozenset({Verb.COMMIT_TRANSACTION, Verb.ABORT_TRANSACTION})

RunHere = Callable[[str, DocumentCommand, CommandBounds], Awaitable[DocumentAnswer]]


class TransactionsElsewhere:
    """Implements `services.documents.TransactionPeers`."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def send(
        self, process_id: str, space_id: str, command: DocumentCommand, bounds: CommandBounds
    ) -> DocumentAnswer:
        question = write_json(
            {
                "space": space_id,
                "command": dataclasses.asdict(command),
                "bounds": dataclasses.asdict(bounds),
            }
        )
        try:
            answer = await self._peers.ask(
                process_id, question, timeout_s=bounds.time_ms / 1000 + _WAY_S
            )
        except NobodyThereError:
            raise no_such_transaction(command.transaction_id or "") from None
        return _read_answer(answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionBounds:
    """Commands of others that are under way here or wait for their turn in a transaction."""

    per_space: int
    total: int


class QuestionRoom:
    """What others ask at the same time. One space cannot take the hands of all, and what ends a transaction
    gets in always: others wait for it. Of these there is one for each transaction: another one would wait
    for the first, and be too late then."""

    def __init__(self, bounds: QuestionBounds) -> None:
        self._commands = Room(
            RoomBounds(per_space=bounds.per_space, total=bounds.total, reserved_percent=0)
        )
        self._ending: set[tuple[str, str]] = set()

    @contextmanager
    def hold(self, space_id: str, command: DocumentCommand) -> Iterator[None]:
        """As long as it is carried out. Raises OverloadedError; nothing was done then."""
        if command.verb in _ENDS:
            with self._hold_end((space_id, command.transaction_id or "")):
                yield
            return
        reached = self._commands.reached(space_id, client=False)
        if reached is not None:
            raise OverloadedError(
                f"space {space_id} may send no command to the process of this transaction now:"
                f" {reached.taken} are there (YUNHAN_DATABASE_TRANSACTIONS_{reached.setting}); try again"
                " later"
            )
        self._commands.take(space_id, client=False)
        try:
            yield
        finally:
            self._commands.leave(space_id, client=False)

    @contextmanager
    def _hold_end(self, which: tuple[str, str]) -> Iterator[None]:
        if which in self._ending:
            raise OverloadedError(f"transaction {which[1][:64]} is being ended already")
        self._ending.add(which)
        try:
            yield
        finally:
            self._ending.discard(which)


def answer_for(run_here: RunHere, bounds: QuestionBounds) -> PeerHandler:
    """What answers the questions of others; `run_here` carries out their commands."""
    room = QuestionRoom(bounds)

    async def answer(question: bytes) -> bytes:
        try:
            space_id, command, command_bounds = _read_question(question)
            with room.hold(space_id, command):
                done = await run_here(space_id, command, command_bounds)
            return write_json(
                {"affected": done.affected, "result": done.result, "extra": dict(done.extra)}
            )
        except YunhanError as error:
            return _error(error)
        except Exception:  # noqa: BLE001 - whoever asked gets an answer
            _log.exception("peer_command_failed")
            return _error(UnavailableError("the command failed in the transaction's process"))

    return answer


def _read_question(question: bytes) -> tuple[str, DocumentCommand, CommandBounds]:
    try:
        told: dict[str, Any] = parse_json(question)
        command = told["command"]
        return (
            str(told["space"]),
            DocumentCommand(**{**command, "verb": Verb(command["verb"])}),
            CommandBounds(**told["bounds"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UnavailableError(
            f"a command of another process cannot be read ({type(error).__name__}); do all run the same"
            " version?"
        ) from None


def _error(error: YunhanError) -> bytes:
    told: dict[str, Any] = {"code": error.code, "message": error.message}
    if isinstance(error, DatabaseError):
        told |= {"number": error.number, "message": error.reason}
    told |= {
        "ours": isinstance(error, OursError),
        "overloaded": isinstance(error, OverloadedError),
    }
    return write_json({"error": told})


def _read_answer(answer: bytes) -> DocumentAnswer:
    try:
        told: dict[str, Any] = parse_json(answer)
        error = told.get("error")
        if error is None:
            return DocumentAnswer(
                affected=told["affected"], result=told["result"], extra=told["extra"]
            )
        raised = _read_error(error)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise UnavailableError(
            f"the answer of another process cannot be read ({type(problem).__name__})"
        ) from None
    raise raised


def _read_error(error: dict[str, Any]) -> YunhanError:
    code, message = error["code"], error["message"]
    if "number" in error:
        return DatabaseError(error["number"], message)
    if error.get("overloaded"):
        return OverloadedError(message)
    return OursError(code, message) if error["ours"] else CallerError(code, message)
