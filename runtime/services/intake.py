"""Makes asynchronous jobs of the messages of other systems, one job of each.

A message is acknowledged when its job was accepted. What can never become a job goes to the dead letters with
the reason. While we are at fault (the queue is full, a database does not answer) it stays in our hands for a
moment and is tried again, then it is delayed, so that those behind it come: one space whose jobs are refused
must not stop the others. Only a part of the hands holds what waits (`intake_places`); for what finds no place
the moment is over at once. A message whose job was refused for the `tries_max`th time is a dead letter.

While it cannot be delayed either (the broker takes nothing), it stays in our hands and nothing more is taken.
After `hold_s` it goes back to the broker, so that another gateway may have it.

The same message may come twice. So that this makes one job, the job gets the message's own idempotency key,
else one that is made of its user and its id; a message with neither may run twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import structlog

from runtime.errors import CallerError, OursError, OverloadedError, RateExceededError
from runtime.ids import new_request_id
from runtime.intake.message import IntakeCall, read_call
from runtime.intake.refusals import IntakeRefusedError, Reason, shown
from runtime.intake.users import IntakeUsers
from runtime.jobs.endings import Random
from runtime.jobs.submit import Accepted
from runtime.messages import Source
from runtime.ports import Clock, Intake, IntakeDelivery, IntakeMessage, Sleep
from runtime.services.async_terms import read_key
from runtime.services.intake_places import IntakePlaces
from runtime.services.interfaces import AsyncInvoker

_log = structlog.get_logger(__name__)

_REASON_OF_CODE = {
    "InvalidSpaceId.NotFound": Reason.UNKNOWN_SPACE,
    "FunctionNotFound": Reason.UNKNOWN_FUNCTION,
    "RequestContentLength.Exceeded": Reason.TOO_LARGE,
    "InvalidParameter.IdempotencyKey": Reason.MALFORMED,
    "IdempotencyKeyReused": Reason.KEY_REUSED,
}
"""Every other code of a CallerError is `not_runnable`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeLimits:
    """Times in seconds."""

    in_hand_max: int = 16
    """Messages at the same time."""
    pause_first_s: float = 0.2
    """Before a message is tried again; doubled each time."""
    pause_longest_s: float = 5.0
    try_s: float = 2.0
    """Then it is delayed."""
    hold_s: float = 60.0
    tries_max: int = 360
    """Delays of a message because jobs of its space are refused."""
    rounds_max: int = 1000
    """Delays for whatever reason."""


class _NotAcceptedError(Exception):
    """No job was made of a message, through our fault, or it is not known."""

    def __init__(self, space_id: str, cause: OursError) -> None:
        super().__init__(cause.message)
        self.space_id = space_id
        self.cause = cause

    @property
    def refused(self) -> bool:
        """Its space has too many jobs. One that is only too fast waits."""
        return isinstance(self.cause, OverloadedError) and not isinstance(
            self.cause, RateExceededError
        )


class IntakeService:
    """See the module. `run` serves until it is cancelled."""

    def __init__(
        self,
        *,
        intake: Intake,
        calls: AsyncInvoker,
        users: IntakeUsers,
        clock: Clock,
        limits: IntakeLimits,
        random: Random,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`random`: 0 to 1, spreads the pauses."""
        self._intake = intake
        self._calls = calls
        self._users = users
        self._clock = clock
        self._limits = limits
        self._random = random
        self._sleep = sleep
        self._stopping = False
        self._places = IntakePlaces(limits.in_hand_max)
        self.counts: Counter[str] = Counter()
        """`accepted`, `repeated` (the job was there already), `refused_...` by reason, `held` (not accepted
        at a try), `delayed`, `put_back`."""

    async def tell_problem(self) -> str | None:
        """What keeps messages from coming; None when all is well."""
        return self._intake.problem

    async def run(self) -> None:
        """Ends with UnavailableError (in a group) when the intake was closed."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._limits.in_hand_max):
                tasks.create_task(self._take_all(), name=f"intake {number}")

    async def stop(self) -> None:
        """The program is stopping: take nothing more, hold nothing. What is under way is finished."""
        self._stopping = True
        await self._intake.stop_taking()

    def gauges(self) -> Mapping[str, float]:
        """For metrics."""
        refused = (f"refused_{reason}" for reason in Reason)
        names = ("accepted", "repeated", *refused, "held", "delayed", "put_back")
        return {
            **{f"intake_{name}_total": self.counts[name] for name in names},
            "intake_up": self._intake.problem is None,
        }

    async def _take_all(self) -> None:
        while True:
            await self.handle(await self._intake.take())

    async def handle(self, delivery: IntakeDelivery) -> None:
        """Until the message is settled. Raises nothing but cancellation; then the broker gives it again."""
        started = self._clock.monotonic()
        pause_s = self._limits.pause_first_s
        with ExitStack() as places:
            has_place: bool | None = None
            while True:
                try:
                    await self._settle(delivery)
                except _NotAcceptedError as error:
                    self.counts["held"] += 1
                    if has_place is None:
                        has_place = places.enter_context(self._places.of(error.space_id))
                        if has_place:  # else it is one of many
                            _log.warning("intake_held", reason=str(error), space=error.space_id)
                    tried = self._clock.monotonic() - started >= self._limits.try_s
                    if (tried or not has_place) and await self._sent_away(delivery, error):
                        return
                except OursError as error:
                    self.counts["held"] += 1
                    _log.warning("intake_dead_letter_held", reason=error.message)
                else:
                    return
                if self._stopping or self._clock.monotonic() - started >= self._limits.hold_s:
                    break
                await self._sleep(pause_s * (0.5 + self._random() / 2))
                pause_s = min(2 * pause_s, self._limits.pause_longest_s)
        self.counts["put_back"] += 1
        await delivery.put_back()
        if not self._stopping:
            await self._sleep(self._limits.pause_longest_s)  # else it would be here again at once

    async def _sent_away(self, delivery: IntakeDelivery, error: _NotAcceptedError) -> bool:
        """Delayed, or a dead letter when it was delayed often enough. False: it is still in our hands."""
        message, limits = delivery.message, self._limits
        if self._stopping:
            return False
        try:
            if message.refusals + error.refused > limits.tries_max:
                detail = f"refused for the {limits.tries_max}th time after waiting: {error}"
                await self._refuse(delivery, IntakeRefusedError(Reason.OVERLOADED, detail))
            elif message.rounds >= limits.rounds_max:
                await self._refuse(delivery, IntakeRefusedError(Reason.INTERNAL, str(error)))
            else:
                await delivery.delay(refused=error.refused)
                self.counts["delayed"] += 1
        except OursError as held:
            _log.warning("intake_not_delayed", reason=held.message)
            return False
        return True

    async def _settle(self, delivery: IntakeDelivery) -> None:
        """Raises _NotAcceptedError, and OursError when a dead letter was not confirmed."""
        message = delivery.message
        try:
            accepted = await self._submit(message)
        except IntakeRefusedError as refusal:
            await self._refuse(delivery, refusal)
        except _NotAcceptedError:
            raise
        except Exception as error:  # noqa: BLE001 - nobody knows what it might be
            # One bad message must not end the intake of all others.
            _log.exception("intake_failed", message_id=shown(message.message_id or ""))
            detail = f"{type(error).__name__}; see the log of the gateway"
            await self._refuse(delivery, IntakeRefusedError(Reason.INTERNAL, detail))
        else:
            await delivery.accept()
            self.counts["accepted" if accepted.first else "repeated"] += 1

    async def _submit(self, message: IntakeMessage) -> Accepted:
        """Raises IntakeRefusedError, _NotAcceptedError."""
        user, call = self._read(message)
        try:
            key = read_key(call.idempotency_key, "idempotencyKey")
            if key is None and message.message_id:
                # Its last space parts the two: a message id with a space is refused. Keys of callers have
                # none, so nobody else's key can be the same.
                key = f"amqp {user} {read_key(message.message_id, 'message_id')}"
            return await self._calls.submit(
                call.space_id,
                call.function,
                call.args,
                source=Source.SERVER,
                request_id=new_request_id(),
                idempotency_key=key,
            )
        except CallerError as error:
            reason = _REASON_OF_CODE.get(error.code, Reason.NOT_RUNNABLE)
            raise IntakeRefusedError(reason, error.message) from error
        except OursError as error:
            raise _NotAcceptedError(call.space_id, error) from error

    def _read(self, message: IntakeMessage) -> tuple[str, IntakeCall]:
        """Who asks and for what. Raises IntakeRefusedError."""
        if message.user_id is None:
            raise IntakeRefusedError(
                Reason.NO_USER, "set the property user_id to the user of your connection"
            )
        if message.body is None:
            raise IntakeRefusedError(
                Reason.TOO_LARGE, f"{message.size} bytes are more than a message may have"
            )
        call = read_call(
            message.body,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
        )
        if not self._users.may_send(message.user_id, call.space_id):
            raise IntakeRefusedError(
                Reason.FORBIDDEN,
                f"the user {message.user_id} may not send to space {call.space_id}"
                " (YUNHAN_INTAKE_USERS)",
            )
        return message.user_id, call

    async def _refuse(self, delivery: IntakeDelivery, refusal: IntakeRefusedError) -> None:
        await delivery.refuse(refusal.reason, refusal.detail)
        self.counts[f"refused_{refusal.reason}"] += 1
        _log.warning(
            "intake_refused",
            reason=str(refusal.reason),
            detail=refusal.detail,
            user=shown(delivery.message.user_id or ""),
        )
