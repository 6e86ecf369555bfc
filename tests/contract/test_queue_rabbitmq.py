"""The queue contracts over RabbitMQ."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from runtime.backends.rabbitmq.topology import Topology
from runtime.ports import Queue
from runtime.testing.async_queue import AsyncQueueContract
from runtime.testing.queue import QueueContract, QueueFactory
from tests.harness.rabbitmq import RabbitMq
from tests.harness.rabbitmq_queue import installations, new_options

pytestmark = pytest.mark.integration


@pytest.fixture
async def queue_factory(rabbitmq: RabbitMq) -> AsyncIterator[QueueFactory]:
    async with installations(rabbitmq.url) as make:
        yield lambda max_jobs: make(calls_max=max_jobs, shard_max_jobs=max_jobs)


class TestRabbitMqCalls(QueueContract):
    withdraws = False
    first_again = False

    @pytest.fixture
    def queue_factory(self, queue_factory: QueueFactory) -> QueueFactory:
        return queue_factory


class TestRabbitMqJobs(AsyncQueueContract):
    spaces = ("mp-busy", "mp-silent")

    @pytest.fixture
    def queue_factory(self, queue_factory: QueueFactory) -> QueueFactory:
        return queue_factory

    async def settled(self, queue: Queue) -> None:
        """Each shard has a consumer of its own, and the broker takes its time."""
        await queue.async_backlog()

    def test_the_spaces_of_the_contract_lie_in_different_shards(self) -> None:
        topology = Topology(new_options("amqp://localhost/"))
        assert len({topology.shard(space_id) for space_id in self.spaces}) == 2
