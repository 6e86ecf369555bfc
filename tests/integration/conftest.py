"""What several files of integration tests start."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from runtime.backends.queue_rabbitmq import RabbitMqQueue
from runtime.backends.rabbitmq.options import RabbitMqOptions
from tests.harness.rabbitmq import RabbitMq
from tests.harness.rabbitmq_queue import installation, rabbitmq_queue
from tests.harness.sleepers import Sleepers
from tests.harness.trigger_gateway import TriggerGateway, open_gateway


@pytest.fixture
async def options(rabbitmq: RabbitMq) -> AsyncIterator[RabbitMqOptions]:
    """An installation of its own on the broker."""
    async with installation(rabbitmq.url) as options:
        yield options


@pytest.fixture
async def queue(options: RabbitMqOptions) -> AsyncIterator[RabbitMqQueue]:
    """Its queue, open."""
    queue = rabbitmq_queue(options)
    async with queue.open():
        yield queue


@pytest.fixture
async def gateway() -> AsyncIterator[TriggerGateway]:
    async with open_gateway() as gateway:
        yield gateway


@pytest.fixture
def sleepers() -> Iterator[Sleepers]:
    sleepers = Sleepers()
    yield sleepers
    sleepers.end()
