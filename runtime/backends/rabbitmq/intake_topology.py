"""Which exchanges and queues the public intake has, and how large they are. Pure.

    {prefix}.intake        direct exchange, public: producers may write here and nowhere else
    {prefix}.intake.v1     quorum queue of the routing key `v1`, full = the producer's publish is refused
    {prefix}.intake.delay  fanout exchange and quorum queue: a message whose job was not accepted waits here
    {prefix}.intake.again  fanout exchange and quorum queue: where it comes back. Producers cannot write
                           there, so what its headers say about its user is our own word
    {prefix}.intake.dead   fanout exchange and quorum queue: what was refused, with the reason in headers;
                           bounded, the oldest go first

All are bounded: when nothing can be delayed any more, messages stay in `v1`, and then producers are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.backends.rabbitmq.topology import QueueSpec, Topology
from runtime.intake.message import ENVELOPE_MAX_BYTES
from runtime.settings import Settings

ROUTING_KEY = "v1"
"""The version of the contract."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeOptions:
    """Beside what holds for every connection. Sizes in bytes."""

    message_max_bytes: int
    """Of a body; the body of a larger message is not kept, not even as a dead letter."""
    in_hand_max: int = 16
    """Of each of the two queues."""
    max_messages: int = 100_000
    max_bytes: int = 512 * 1024 * 1024
    delay_s: int = 10
    delivery_limit: int = 1000
    dead_max: int = 10_000
    dead_max_bytes: int = 128 * 1024 * 1024

    @classmethod
    def from_settings(cls, settings: Settings) -> IntakeOptions:
        """By the settings `intake_*`."""
        return cls(
            message_max_bytes=settings.args_max_bytes + ENVELOPE_MAX_BYTES,
            in_hand_max=settings.intake_in_hand_max,
            max_messages=settings.intake_max_messages,
            max_bytes=settings.intake_max_bytes,
            delay_s=settings.intake_delay_s,
            delivery_limit=settings.intake_delivery_limit,
            dead_max=settings.intake_dead_max,
            dead_max_bytes=settings.intake_dead_max_bytes,
        )


class IntakeTopology(Topology):
    """Names and arguments; `declare` as of the queue's."""

    def __init__(self, broker: RabbitMqOptions, options: IntakeOptions) -> None:
        super().__init__(broker)
        self.exchange = f"{broker.prefix}.intake"
        self.messages = f"{self.exchange}.{ROUTING_KEY}"
        self.delay_queue = f"{self.exchange}.delay"
        self.again = f"{self.exchange}.again"
        self.dead = f"{self.exchange}.dead"
        self._intake = options

    def queues(self) -> Iterator[QueueSpec]:
        """All but that of the producers have exchanges of their own, where producers cannot write."""
        options = self._intake
        bounded = {
            "x-queue-type": "quorum",
            "x-overflow": "reject-publish",
            "x-max-length": options.max_messages,
            "x-max-length-bytes": options.max_bytes,
            "x-dead-letter-strategy": "at-least-once",
        }
        given_up = {"x-delivery-limit": options.delivery_limit, "x-dead-letter-exchange": self.dead}
        yield QueueSpec(
            self.dead,
            None,
            {
                "x-queue-type": "quorum",
                "x-overflow": "drop-head",
                "x-max-length": options.dead_max,
                "x-max-length-bytes": options.dead_max_bytes,
            },
        )
        yield QueueSpec(self.again, None, bounded | given_up)
        wait = {"x-message-ttl": options.delay_s * 1000, "x-dead-letter-exchange": self.again}
        yield QueueSpec(self.delay_queue, None, bounded | wait)
        yield QueueSpec(self.messages, ROUTING_KEY, bounded | given_up)
