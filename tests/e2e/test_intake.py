"""Messages of other systems become jobs of a running program, and are run."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest

from tests.harness.intake_broker import message, producer
from tests.harness.management import Management
from tests.harness.polling import poll
from tests.harness.program import Program
from tests.harness.rabbitmq import RabbitMq

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

ADD = "module.exports = async (ctx) => ({ sum: ctx.args.a + 1, source: ctx.env.MP_SOURCE });"


def until_counted(program: Program, name: str, value: float) -> None:
    poll(lambda: program.metrics()[name] >= value, 60, told=program.log)


async def test_messages_are_run_once_each_and_bad_ones_do_not_matter(
    rabbitmq: RabbitMq, tmp_path: Path
) -> None:
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    program = Program(
        tmp_path / "data",
        YUNHAN_QUEUE_URL=rabbitmq.url,
        YUNHAN_QUEUE_PREFIX=prefix,
        YUNHAN_QUEUE_SHARDS="2",
        YUNHAN_SANDBOX="process",
        YUNHAN_INTAKE_USERS="guest=*",
        YUNHAN_INTAKE_TRY_S="0.1",
        YUNHAN_INTAKE_DELAY_S="1",
        YUNHAN_ASYNC_ACCEPT_PER_SPACE_PER_S="5",
        YUNHAN_ASYNC_ACCEPT_BURST_PER_SPACE="5",
    )
    await asyncio.to_thread(program.start)
    try:
        admin = Management(program.endpoint, program.access_key())
        space_id, _ = await asyncio.to_thread(admin.space)
        await asyncio.to_thread(admin.deploy, space_id, "add", {"index.js": ADD})

        async with producer(rabbitmq.url, f"{prefix}.intake") as exchange:
            for _ in range(2):
                for n in range(20):
                    body = {"space": space_id, "function": "add", "args": {"a": n}}
                    await exchange.publish(message(body, message_id=f"m{n}"), "v1")
                await exchange.publish(message(b"\xff"), "v1")
                await exchange.publish(message({"space": "mp-x", "function": "add"}), "v1")
                await exchange.publish(message({"space": space_id, "function": "no"}), "v1")
        await asyncio.to_thread(until_counted, program, "yunhan_intake_repeated_total", 20)
        await asyncio.to_thread(
            until_counted, program, "yunhan_intake_refused_unknown_function_total", 2
        )
        metrics = await asyncio.to_thread(program.metrics)
        assert metrics["yunhan_intake_accepted_total"] == 20
        assert metrics["yunhan_async_too_fast_total"] > 0, "the intake waited"
        assert metrics["yunhan_intake_delayed_total"] > 0
        assert metrics["yunhan_intake_up"] == 1
        assert metrics["yunhan_intake_refused_malformed_total"] == 2
        assert metrics["yunhan_intake_refused_unknown_space_total"] == 2

        jobs = await asyncio.to_thread(ended, admin, space_id, 20)
        assert {job["State"] for job in jobs} == {"succeeded"}
    finally:
        code = await asyncio.to_thread(program.stop)
    assert code == 0, program.log()


def ended(admin: Management, space_id: str, count: int) -> list[dict[str, str]]:
    """All jobs of the space when so many are over."""

    def listed() -> list[dict[str, str]]:
        return list(admin.call("YunhanListJobs", SpaceId=space_id, PageSize=100)["DataList"])

    def over() -> list[dict[str, str]] | None:
        jobs = listed()
        ended = sum(job["State"] not in {"queued", "running"} for job in jobs)
        return jobs if ended >= count else None

    jobs = poll(over, 60, told=listed)
    assert len(jobs) == count
    return jobs
