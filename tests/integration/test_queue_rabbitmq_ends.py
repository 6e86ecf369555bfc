"""What cannot be mended by connecting again: refused permissions, a part that ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.errors import OursError, UnavailableError
from runtime.testing.queue import sample_job
from tests.harness.rabbitmq import RabbitMq
from tests.harness.rabbitmq_queue import new_options, rabbitmq_queue

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

USER = "no-replies"


@pytest.fixture
async def restricted(rabbitmq: RabbitMq, options: RabbitMqOptions) -> AsyncIterator[str]:
    """The URL of a user that may use our queues, and not the default exchange for replies."""
    ours = f"^{options.prefix}\\."
    control = rabbitmq.control
    await asyncio.to_thread(control, "add_user", USER, "secret")
    permissions = ("set_permissions", "--vhost", "/", USER, ours, ours, ours)
    await asyncio.to_thread(control, *permissions)
    yield rabbitmq.url.replace("guest:guest", f"{USER}:secret")
    await asyncio.to_thread(control, "delete_user", USER)


async def test_a_refused_permission_is_told_and_not_tried_again_at_once(
    restricted: str, options: RabbitMqOptions
) -> None:
    queue = rabbitmq_queue(new_options(restricted, prefix=options.prefix))
    async with queue.open():
        call = asyncio.create_task(queue.call(sample_job()))
        take = asyncio.create_task(queue.take())
        await asyncio.sleep(0)
        link = next(link for link in queue._links if link.name == "calls")
        while link.lost < 3:
            await asyncio.sleep(0.01)
        assert queue.problem is not None
        assert "ACCESS_REFUSED" in queue.problem
        while not link.up:
            await asyncio.sleep(0)
        assert link.problem is not None
        assert link.problem.startswith("lost again and again")
        before = link.lost
        await asyncio.sleep(1.5)
        assert link.lost - before <= 4, "the pause grows although each connection was up"
        for task in (call, take):
            task.cancel()
        await asyncio.gather(call, take, return_exceptions=True)


async def test_a_part_that_ended_ends_the_queue_and_is_told(options: RabbitMqOptions) -> None:
    queue = rabbitmq_queue(options)
    async with queue.open():
        failed = asyncio.create_task(queue.wait_failed())
        await asyncio.sleep(0)
        queue._tasks["publish"].cancel()
        with pytest.raises(UnavailableError, match="rabbitmq publish"):
            await failed
        with pytest.raises(OursError):
            await queue.call(sample_job())
