"""Settings, names and the pure rules of the RabbitMQ adapter."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.rabbitmq.consumer import Line
from runtime.backends.rabbitmq.options import (
    BrokerSetupError,
    RabbitMqOptions,
    with_password,
)
from runtime.backends.rabbitmq.topology import Topology
from runtime.settings import SettingsError, load_settings


def test_a_password_never_shows() -> None:
    options = RabbitMqOptions(url="amqp://me:s3cret@broker/vhost")
    assert "s3cret" not in repr(options)
    assert options.where == "broker:5672"


def test_the_password_comes_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("p@ss/word\n")
    assert with_password("amqp://me@broker:5673/v", str(path)) == (
        "amqp://me:p%40ss%2Fword@broker:5673/v"
    )


def test_a_password_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BrokerSetupError, match=r"YUNHAN_QUEUE_PASSWORD_FILE=.*missing"):
        with_password("amqp://broker", str(tmp_path / "missing"))


def test_the_heartbeat_joins_what_the_url_says() -> None:
    options = RabbitMqOptions(url="amqps://broker/?auth=external", heartbeat_s=7)
    assert options.link_url() == "amqps://broker/?auth=external&heartbeat=7"
    assert options.where == "broker:5671"


@given(st.floats(0.001, 20_000))
def test_a_delay_is_never_shorter_than_asked_for(delay_s: float) -> None:
    topology = Topology(RabbitMqOptions(url="amqp://broker"))
    waited, hops, left = 0.0, 0, delay_s
    while left > 0:
        key, left = topology.delay("mp-1", left)
        waited += int(key.rpartition(".")[2])
        hops += 1
    assert delay_s <= waited <= max(1.0, 5 * delay_s)
    assert hops <= 1 + delay_s // 900


def test_a_space_keeps_its_shard() -> None:
    topology = Topology(RabbitMqOptions(url="amqp://broker"))
    assert [topology.shard(f"mp-{number}") for number in range(4)] == [
        topology.shard(f"mp-{number}") for number in range(4)
    ]
    assert {topology.shard(f"mp-{number}") for number in range(200)} == set(topology.shards())


class Waiting:
    def __init__(self, space_id: str, number: int) -> None:
        self.space_id = space_id
        self.rank = 0
        self.number = number

    async def hand_back(self) -> None: ...


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_spaces_take_turns_and_each_keeps_its_order(spaces: list[str]) -> None:
    line: Line[Waiting] = Line()
    for number, space_id in enumerate(spaces):
        line.add(Waiting(space_id, number))
    out = []
    while (delivery := line.pop()) is not None:
        out.append(delivery)
    assert not line
    assert sorted(delivery.number for delivery in out) == list(range(len(spaces)))
    for space_id in "abc":
        numbers = [delivery.number for delivery in out if delivery.space_id == space_id]
        assert numbers == sorted(numbers)
    turns = len(set(spaces))
    assert len({delivery.space_id for delivery in out[:turns]}) == turns


def test_the_brokers_consumer_timeout_must_exceed_the_longest_call() -> None:
    with pytest.raises(SettingsError, match="YUNHAN_QUEUE_CONSUMER_TIMEOUT_S=900"):
        load_settings({"YUNHAN_QUEUE_CONSUMER_TIMEOUT_S": "900"})


def test_a_prefix_with_other_characters_is_refused() -> None:
    with pytest.raises(SettingsError, match="YUNHAN_QUEUE_PREFIX"):
        load_settings({"YUNHAN_QUEUE_PREFIX": "a b"})


def test_options_come_from_the_settings() -> None:
    settings = load_settings({"YUNHAN_QUEUE_URL": "amqp://broker", "YUNHAN_SLOTS": "3"})
    assert RabbitMqOptions.from_settings(settings).call_prefetch == 3
