"""Every message is settled once: as a job, as a dead letter, or given back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import (
    CallerError,
    InvalidParameterError,
    KeyReusedError,
    NotFoundError,
    OursError,
    OverloadedError,
    RateExceededError,
    UnavailableError,
)
from runtime.intake.refusals import Reason
from runtime.intake.users import read_users
from runtime.jobs.submit import Accepted
from runtime.messages import Source
from runtime.ports import Intake, IntakeDelivery, IntakeMessage
from runtime.services.intake import IntakeLimits, IntakeService
from runtime.services.intake_places import IntakePlaces
from tests.harness.clock import FakeClock


def message(
    body: dict[str, Any] | bytes | None = None, *, user_id: str | None = "shop", **properties: Any
) -> IntakeMessage:
    value = {"space": "mp-1", "function": "hello"} if body is None else body
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return IntakeMessage(
        **{
            "body": text,
            "size": len(text),
            "user_id": user_id,
            "content_type": "application/json",
            **properties,
        }
    )


class ToldDelivery(IntakeDelivery):
    def __init__(self, message: IntakeMessage) -> None:
        self.message = message
        self.ends: list[str] = []
        self.refusals: list[OursError] = []
        self.undelayed: OursError | None = None
        """Why it cannot be delayed."""

    async def accept(self) -> None:
        self.ends.append("accepted")

    async def refuse(self, reason: str, detail: str) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        assert detail
        self.ends.append(f"refused: {reason}")

    async def delay(self, *, refused: bool) -> None:
        if self.undelayed is not None:
            raise self.undelayed
        self.ends.append("delayed, refused" if refused else "delayed")

    async def put_back(self) -> None:
        self.ends.append("put back")


class ListIntake(Intake):
    def __init__(self, deliveries: list[ToldDelivery]) -> None:
        self.deliveries = deliveries
        self.stopped = False
        self.closed = False
        self.waits = False
        """At the end, instead of an error."""

    def open(self) -> object:  # type: ignore[override]
        raise NotImplementedError

    async def take(self) -> IntakeDelivery:
        if not self.deliveries:
            self.closed = True
            if self.waits:
                await asyncio.Event().wait()
            raise UnavailableError("closed")
        return self.deliveries.pop(0)

    async def stop_taking(self) -> None:
        self.stopped = True

    @property
    def problem(self) -> str | None:
        return None


class ToldCalls:
    """Remembers jobs by key; raises what it was told to, once each."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.errors: list[Exception] = []
        self.full: str | None = None
        """A space whose jobs are refused."""
        self.jobs: dict[object, str] = {}

    async def submit(
        self,
        space_id: str,
        function: str,
        args: bytes,
        *,
        source: Source,
        request_id: str,
        idempotency_key: str | None = None,
    ) -> Accepted:
        if self.errors:
            raise self.errors.pop(0)
        if space_id == self.full:
            raise OverloadedError("full")
        self.asked.append(
            {"space": space_id, "args": args, "source": source, "key": idempotency_key}
        )
        key = object() if idempotency_key is None else (space_id, function, idempotency_key)
        first = key not in self.jobs
        return Accepted(job_id=self.jobs.setdefault(key, f"job-{len(self.jobs)}"), first=first)


class Stage:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.calls = ToldCalls()
        self.slept: list[float] = []
        self.intake = ListIntake([])
        self.on_sleep: Callable[[], Awaitable[None]] | None = None
        self.service = IntakeService(
            intake=self.intake,
            calls=self.calls,
            users=read_users("shop=mp-1;other=mp-2;ops=*"),
            clock=self.clock,
            limits=IntakeLimits(in_hand_max=8, tries_max=3, rounds_max=5),
            random=lambda: 1.0,
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)
        if self.on_sleep is not None:
            await self.on_sleep()

    async def handle(
        self, message: IntakeMessage, *, undelayed: OursError | None = None
    ) -> list[str]:
        delivery = ToldDelivery(message)
        delivery.undelayed = undelayed
        await self.service.handle(delivery)
        return delivery.ends


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_a_message_becomes_a_job_of_the_server(stage: Stage) -> None:
    body = {"space": "mp-1", "function": "hello", "args": [1]}
    assert await stage.handle(message(body)) == ["accepted"]
    assert stage.calls.asked == [
        {"space": "mp-1", "args": b"[1]", "source": Source.SERVER, "key": None}
    ]
    assert stage.service.counts["accepted"] == 1


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (message(user_id=None), Reason.NO_USER),
        (message(user_id="stranger"), Reason.FORBIDDEN),
        (message(user_id="other"), Reason.FORBIDDEN),
        (message(b"{"), Reason.MALFORMED),
        (message(b"{", user_id="stranger"), Reason.MALFORMED),
        (message(content_type="text/plain"), Reason.CONTENT_TYPE),
        (message({"version": 9}), Reason.VERSION),
        (replace(message(), body=None, size=10**9), Reason.TOO_LARGE),
        (message(message_id="with space"), Reason.MALFORMED),
        (message(message_id="x" * 201), Reason.MALFORMED),
        (
            message({"space": "mp-1", "function": "hello", "idempotencyKey": "a b"}),
            Reason.MALFORMED,
        ),
    ],
)
async def test_what_can_never_be_a_job_is_a_dead_letter(
    stage: Stage, bad: IntakeMessage, reason: Reason
) -> None:
    assert await stage.handle(bad) == [f"refused: {reason}"]
    assert stage.calls.asked == []
    assert stage.service.gauges()[f"intake_refused_{reason}_total"] == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NotFoundError("InvalidSpaceId.NotFound", "no space"), Reason.UNKNOWN_SPACE),
        (NotFoundError("FunctionNotFound", "no function"), Reason.UNKNOWN_FUNCTION),
        (NotFoundError("FunctionNotDeployed", "no code"), Reason.NOT_RUNNABLE),
        (NotFoundError("InvalidSpace.NotInService", "paused"), Reason.NOT_RUNNABLE),
        (CallerError("Anything", "else"), Reason.NOT_RUNNABLE),
        (KeyReusedError("job-1"), Reason.KEY_REUSED),
        (
            InvalidParameterError("args", "long", code="RequestContentLength.Exceeded"),
            Reason.TOO_LARGE,
        ),
        (RuntimeError("a bug of ours"), Reason.INTERNAL),
    ],
)
async def test_what_the_call_is_refused_for_is_told(
    stage: Stage, error: Exception, reason: Reason
) -> None:
    stage.calls.errors = [error]
    assert await stage.handle(message()) == [f"refused: {reason}"]


async def test_its_own_key_counts_before_the_id_of_the_message(stage: Stage) -> None:
    body = {"space": "mp-1", "function": "hello", "idempotencyKey": "order-7"}
    await stage.handle(message(body, message_id="m1"))
    await stage.handle(message(message_id="m1"))
    await stage.handle(message(message_id="m1", user_id="ops"))
    assert [asked["key"] for asked in stage.calls.asked] == [
        "order-7",
        "amqp shop m1",
        "amqp ops m1",
    ]


async def test_a_message_that_comes_twice_is_one_job(stage: Stage) -> None:
    for _ in range(2):
        assert await stage.handle(message(message_id="m1")) == ["accepted"]
    assert len(stage.calls.jobs) == 1
    assert (stage.service.counts["accepted"], stage.service.counts["repeated"]) == (1, 1)


async def test_a_full_queue_is_waited_for(stage: Stage) -> None:
    stage.calls.errors = [
        OverloadedError("full"),
        UnavailableError("down"),
        OverloadedError("full"),
    ]
    assert await stage.handle(message()) == ["accepted"]
    assert stage.slept == pytest.approx([0.2, 0.4, 0.8])
    assert stage.service.counts["held"] == 3


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (OverloadedError("full"), "delayed, refused"),
        (RateExceededError("too fast"), "delayed"),
        (UnavailableError("down"), "delayed"),
    ],
)
async def test_what_cannot_be_accepted_in_a_moment_is_delayed(
    stage: Stage, error: OursError, end: str
) -> None:
    """Only refusals for too many jobs count."""
    stage.calls.errors = [error for _ in range(100)]
    assert await stage.handle(message()) == [end]
    assert 2 <= sum(stage.slept) <= 5
    assert stage.service.gauges()["intake_delayed_total"] == 1


async def test_one_full_space_holds_a_quarter_of_the_hands(stage: Stage) -> None:
    """Others are served meanwhile, and what finds no place is delayed after its first try."""

    async def for_ever() -> None:
        await asyncio.Event().wait()

    stage.on_sleep = for_ever
    stage.calls.full = "mp-1"
    full = [ToldDelivery(message()) for _ in range(20)]
    other = ToldDelivery(message({"space": "mp-2", "function": "hello"}, user_id="other"))
    stage.intake.deliveries = [*full, other]
    stage.intake.waits = True
    serving = asyncio.create_task(stage.service.run())
    async with asyncio.timeout(10):
        while not stage.intake.closed:
            await asyncio.sleep(0)
    assert other.ends == ["accepted"]
    assert [delivery.ends for delivery in full].count([]) == 2
    assert [delivery.ends for delivery in full].count(["delayed, refused"]) == 18
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def test_full_spaces_hold_half_of_the_hands(stage: Stage) -> None:
    places = IntakePlaces(8)
    with ExitStack() as held:
        asked = [held.enter_context(places.of(space)) for space in "aaabbbccc"]
        assert asked == [True, True, False, True, True, False, False, False, False]
    with places.of("c") as free:
        assert free


@pytest.mark.parametrize(
    ("refusals", "rounds", "error", "end"),
    [
        (2, 2, OverloadedError("full"), "delayed, refused"),
        (3, 3, OverloadedError("full"), "refused: overloaded"),
        (3, 3, UnavailableError("down"), "delayed"),
        (0, 5, UnavailableError("down"), "refused: internal"),
    ],
)
async def test_delays_are_bounded(
    stage: Stage, refusals: int, rounds: int, error: OursError, end: str
) -> None:
    stage.calls.errors = [error for _ in range(100)]
    assert await stage.handle(message(refusals=refusals, rounds=rounds)) == [end]


async def test_what_cannot_be_delayed_either_goes_back_after_long(stage: Stage) -> None:
    stage.calls.errors = [OverloadedError("full") for _ in range(100)]
    assert await stage.handle(message(), undelayed=OverloadedError("alarm")) == ["put back"]
    assert max(stage.slept) <= 5
    assert 60 <= sum(stage.slept) <= 75
    assert stage.service.counts["put_back"] == 1


async def test_a_dead_letter_that_the_broker_does_not_take_is_tried_again(stage: Stage) -> None:
    delivery = ToldDelivery(message(b"{"))
    delivery.refusals = [UnavailableError("no confirmation")]
    await stage.service.handle(delivery)
    assert delivery.ends == ["refused: malformed"]
    assert stage.service.counts["refused_malformed"] == 1


async def test_a_program_that_stops_holds_nothing(stage: Stage) -> None:
    stage.calls.errors = [UnavailableError("the program is stopping") for _ in range(100)]
    stage.on_sleep = stage.service.stop
    assert await stage.handle(message()) == ["put back"]
    assert len(stage.slept) == 1
    assert stage.intake.stopped


async def test_one_bad_message_does_not_end_the_others(stage: Stage) -> None:
    deliveries = [ToldDelivery(message(b"\xff" * n)) for n in range(10)]
    deliveries[5] = ToldDelivery(message())
    stage.intake.deliveries = list(deliveries)
    with pytest.RaisesGroup(*[pytest.RaisesExc(UnavailableError)] * 8):
        await stage.service.run()
    assert [delivery.ends for delivery in deliveries] == [
        ["accepted"] if n == 5 else ["refused: malformed"] for n in range(10)
    ]


@given(
    st.binary(max_size=200),
    st.none() | st.text(max_size=20),
    st.none() | st.text(max_size=300),
    st.none() | st.text(max_size=20) | st.just("application/json"),
)
def test_every_message_is_settled_once(
    body: bytes, user_id: str | None, message_id: str | None, content_type: str | None
) -> None:
    stage = Stage()
    ends = asyncio.run(
        stage.handle(
            message(body, user_id=user_id, message_id=message_id, content_type=content_type)
        )
    )
    assert len(ends) == 1
    assert ends[0].startswith("refused: ")
