"""What our messages look like on the broker: properties, notices, and how long a job waited.

A synchronous job carries `correlation_id` and `reply_to` (direct reply-to) and expires in the broker. Four
things come back under its correlation id, told apart by the message type:

    taken     a worker runs it; only of a job that lasts, or whose worker left no last will with the broker
    returned  that worker did not start it after all; it waits again
    expired   the broker dropped it, because nobody took it in time
    outcome   the end of it, the body says which

Headers: `sent_ms` (wall clock of the sender, for bills; not believed when it makes no sense), `waited_ms`
(before it was handed back), `delay_ms` (an asynchronous job's delay that is left after this one), `restarts`
(how often it was put into the queue anew after the broker had given it up), `why` and `from` (dead letters:
the reason and the routing key that it came under).
"""

from __future__ import annotations

from enum import StrEnum

from pamqp.commands import Basic
from pamqp.common import FieldTable

from runtime.backends.amqp.channel import Message
from runtime.messages import Job, Outcome
from sandbox.api import Fault, OutcomeKind


class Kind(StrEnum):
    """The message type of what goes back to a caller."""

    TAKEN = "taken"
    RETURNED = "returned"
    EXPIRED = "expired"
    OUTCOME = "outcome"


REPLY_TO = "amq.rabbitmq.reply-to"
"""Direct reply-to: the broker puts the real address in its place."""

_CLOCK_SLACK_MS = 1000.0
"""Clocks of machines differ by so much and are still believed."""
_EXPIRATION_MAX_MS = 2**32 - 2


def call_properties(
    correlation_id: str, reply_to: str, *, remaining_ms: float, sent_ms: int, waited_ms: int = 0
) -> Basic.Properties:
    """Of a synchronous job."""
    headers: FieldTable = {"sent_ms": sent_ms}
    if waited_ms:
        headers["waited_ms"] = waited_ms
    return Basic.Properties(
        delivery_mode=1,
        correlation_id=correlation_id,
        reply_to=reply_to,
        expiration=str(min(max(int(remaining_ms), 0), _EXPIRATION_MAX_MS)),
        message_id=correlation_id,
        headers=headers,
    )


def job_properties(job_id: str, *, delay_s: float = 0.0, restarts: int = 0) -> Basic.Properties:
    """Of an asynchronous job. `delay_s`: what is left after the delay queue that it goes to."""
    headers: FieldTable = {"delay_ms": int(delay_s * 1000)} if delay_s > 0 else {}
    if restarts:
        headers["restarts"] = restarts
    return Basic.Properties(delivery_mode=2, message_id=job_id, headers=headers or None)


def dead_properties(message: Message, why: str) -> Basic.Properties:
    """Of a message that is no job: it keeps its identity and says why it is here."""
    return Basic.Properties(
        delivery_mode=2,
        message_id=message.properties.message_id,
        headers={"why": why, "from": message.routing_key},
    )


async def reply(message: Message, kind: Kind, body: bytes = b"") -> None:
    """To the caller of a synchronous job. Raises AmqpError. Nobody there is no error."""
    properties = message.properties
    if properties.reply_to and properties.correlation_id:
        await message.channel.send(
            body,
            routing_key=properties.reply_to,
            properties=Basic.Properties(
                delivery_mode=1,
                correlation_id=properties.correlation_id,
                message_type=kind,
                message_id=properties.correlation_id,
            ),
        )


def number(message: Message, header: str) -> int:
    """A header of ours; 0 when it is missing or no number."""
    value = (message.properties.headers or {}).get(header)
    return value if type(value) is int and value > 0 else 0


def waited_ms(message: Message, wait_ms: int, *, held_ms: float, now_ms: int) -> float:
    """How long a job has waited: at least what is known for sure, that it was held here and before it was
    handed back; by the sender's clock, when that is possible at all."""
    known = number(message, "waited_ms") + held_ms
    sent_ms = number(message, "sent_ms")
    told = now_ms - sent_ms if sent_ms else 0.0
    return max(known, told) if told <= wait_ms + _CLOCK_SLACK_MS else known


def lost(job: Job, why: str) -> Outcome:
    """It may have run; nobody knows how it ended."""
    fault = Fault(
        name="WorkerLost", message=f"{job.function} may have run: {why}", code="WorkerLost"
    )
    return Outcome(request_id=job.request_id, kind=OutcomeKind.WORKER_LOST, fault=fault)
