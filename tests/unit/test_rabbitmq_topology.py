"""The queues of an installation: where jobs go on to, and what a shard holds."""

from __future__ import annotations

from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.backends.rabbitmq.topology import LOST, LOST_DELAY, Topology

OPTIONS = RabbitMqOptions(url="amqp://broker", shards=3, delays_s=(1, 5))


def test_where_accepted_jobs_go_on_to_nothing_is_refused() -> None:
    """At-least-once dead-lettering stops for a whole queue when one message is refused there."""
    specs = {spec.key: spec.arguments for spec in Topology(OPTIONS).queues()}
    targets = {
        arguments["x-dead-letter-routing-key"]
        for key, arguments in specs.items()
        if arguments.get("x-dead-letter-strategy") == "at-least-once"
    }
    assert targets == {"due.0", "due.1", "due.2", LOST}
    for target in targets:
        assert "x-max-length" not in specs[target]
        assert "x-max-length-bytes" not in specs[target]
        assert "x-message-ttl" not in specs[target]


def test_a_delay_stays_within_its_shard() -> None:
    topology = Topology(OPTIONS)
    specs = {spec.key: spec.arguments for spec in topology.queues()}
    for space_id in ("mp-1", "mp-2", "mp-3", "mp-4"):
        key, left_s = topology.delay(space_id, 3.0)
        assert (key, left_s) == (f"delay.{topology.shard_number(space_id)}.5", 0.0)
        assert specs[key]["x-dead-letter-routing-key"] == topology.due(space_id)
        assert specs[key]["x-max-length"] == OPTIONS.shard_max_jobs
        assert key in topology.beside(topology.shard_number(space_id))


def test_every_queue_of_a_shards_jobs_is_counted_once() -> None:
    topology = Topology(OPTIONS)
    keys = [spec.key for spec in topology.queues() if spec.key and spec.key != LOST_DELAY]
    beside = [key for number in range(OPTIONS.shards) for key in topology.beside(number)]
    assert sorted(beside) == sorted(key for key in keys if key.startswith(("due.", "delay.")))
