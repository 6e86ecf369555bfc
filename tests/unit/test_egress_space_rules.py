"""What spaces and functions may say about their network, and what a job carries of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtime.errors import InvalidParameterError
from runtime.messages import EgressConfig, EgressMode, Function, Job, Source
from runtime.services.directory import SpaceDirectory
from runtime.services.egress_rules import (
    EgressRuleLimits,
    check_number,
    check_within,
    opened,
    read_rules,
    rules_of,
)
from runtime.services.functions import with_function
from runtime.services.invoke import JobFactory
from runtime.testing.queue import sample_job
from runtime.wiring.worker import _live
from sandbox.api import INHERITED, Blame, EgressRules
from sandbox.egress.policy import EgressPolicy
from tests.harness.small_worker import SmallWorker
from tests.unit.management_support import BOX, SPACE_ID, Bench

LIMITS = EgressRuleLimits(rules_max=3, rule_max_characters=30)
NONE = EgressMode.NONE


@pytest.mark.parametrize(
    ("space", "function", "rules"),
    [
        (EgressConfig(), EgressConfig(), INHERITED),
        (EgressConfig(allow=("a",)), EgressConfig(), EgressRules(True, ("a",))),
        (EgressConfig(), EgressConfig(allow=("b",)), EgressRules(True, ("b",))),
        (
            EgressConfig(allow=("a", "c")),
            EgressConfig(allow=("b", "a")),
            EgressRules(True, ("a", "c", "b")),
        ),
        (EgressConfig(mode=NONE), EgressConfig(), EgressRules(False)),
        (
            EgressConfig(mode=NONE, allow=("a",)),
            EgressConfig(allow=("b",)),
            EgressRules(False, ("a", "b")),
        ),
        (EgressConfig(allow=("a",)), EgressConfig(mode=NONE), EgressRules(False)),
        (
            EgressConfig(allow=("a",)),
            EgressConfig(mode=NONE, allow=("b",)),
            EgressRules(False, ("b",)),
        ),
    ],
)
def test_levels_add_up_to_the_first_that_inherits_nothing(
    space: EgressConfig, function: EgressConfig, rules: EgressRules
) -> None:
    assert rules_of(space, function) == rules


def test_rules_are_stored_in_one_form_each_once() -> None:
    texts = ["10.0.0.0/8", "DB.Internal.:5432", "[FD00:0::1]:443", "db.internal:5432", "127.0.0.1"]
    assert read_rules(texts, "Allow", LIMITS) == (
        "10.0.0.0/8",
        "db.internal:5432",
        "[fd00::1]:443",
        "127.0.0.1",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10.0.0.1/8", "did you mean 10.0.0.0/8"),
        ("", "not one rule but 0"),
        ("10.0.0.1 10.0.0.2", "not one rule but 2"),
        ("10.0.0.1,", None),
        ("a" * 31, "31 characters, at most 30"),
        ("http://db.internal/", "no URL"),
        ("*", "names everything"),
        ("127.0.0.1:0", "no port from 1 to 65535"),
        ("::ffff:127.0.0.1", "IPv6 spelling"),
    ],
)
def test_a_wrong_rule_is_the_callers_and_its_place_is_told(text: str, said: str | None) -> None:
    if said is None:
        assert read_rules([text], "Allow", LIMITS) == ("10.0.0.1",)
        return
    with pytest.raises(InvalidParameterError, match=said) as caught:
        read_rules(["127.0.0.1", text], "Allow", LIMITS)
    assert caught.value.message.startswith("Allow[1]: ")
    assert (caught.value.code, caught.value.blame) == ("InvalidEgressRule", Blame.CALLER)


def test_the_number_of_rules_is_bounded() -> None:
    check_number(["a"] * 3, "Allow", LIMITS)
    with pytest.raises(InvalidParameterError, match=r"at most 3 .* this would be 4") as caught:
        check_number(["a"] * 4, "Allow", LIMITS)
    assert caught.value.code == "EgressRuleLimitExceeded"


def test_an_installation_may_let_rules_narrow_only() -> None:
    check_within(["127.0.0.1", "0.0.0.0/0"], "Allow", LIMITS)
    narrow = EgressRuleLimits(
        rules_max=3,
        rule_max_characters=30,
        within=EgressPolicy.from_text(allow="10.0.0.0/8:5432"),
    )
    check_within(["8.8.8.8", "10.1.0.0/16:5432", "db.internal", "2606::/16"], "Allow", narrow)
    for wrong in ("10.1.0.0/16", "127.0.0.1", "0.0.0.0/0", "10.0.0.1:5432-5433", "::1"):
        with pytest.raises(InvalidParameterError, match="narrow only") as caught:
            check_within(["8.8.8.8", wrong], "Allow", narrow)
        assert caught.value.message.startswith("Allow[1]: ")


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("8.8.8.8", []),
        ("db.internal", []),
        ("127.0.0.1:80", ["a loopback address"]),
        ("169.254.169.254", ["a link-local address"]),
        ("100.100.100.200", ["a shared (carrier NAT) address"]),
        ("168.63.129.16", ["a cloud metadata address"]),
        ("192.168.0.0/15", ["a private address"]),
        ("::1", ["a loopback address"]),
        ("fd00:ec2::254", ["a private (unique local) address"]),
        ("4000::/3", ["a reserved address"]),
        ("2606::/16", []),
    ],
)
def test_what_a_rule_opens_is_known(text: str, kinds: list[str]) -> None:
    assert opened(text) == kinds


def test_everything_opens_everything() -> None:
    assert {"a loopback address", "a private address", "a link-local address"} <= set(
        opened("0.0.0.0/0")
    )


async def test_a_job_carries_what_its_space_and_function_say_now() -> None:
    function = Function(
        name="f",
        live_deployment_id="dep-1",
        live_digest="0" * 64,
        egress=EgressConfig(allow=("127.0.0.1:80",)),
    )
    bench = Bench()
    await bench.add_space()
    directory = SpaceDirectory(
        store=bench.control, box=BOX, clock=bench.clock, max_age_s=5, poll_s=2, max_spaces=9
    )

    async def job_of(egress: EgressConfig) -> Job:
        await bench.editor.change(
            SPACE_ID, lambda space: replace(with_function(space, function), egress=egress)
        )
        directory.invalidate(SPACE_ID)
        jobs = JobFactory(
            args_max_bytes=100, timeout_sync_max_s=10, timeout_async_max_s=7200, queue_wait_s=1
        )
        view = await directory.get(SPACE_ID)
        job = jobs.make(view, "f", b"{}", source=Source.CLIENT, request_id="r")
        # The same here as there, or the pool would give up what it should keep.
        assert {content.egress for content in _live(view)} == {job.egress}
        return job

    closed = await job_of(EgressConfig(mode=NONE, allow=("db.internal",)))
    assert closed.egress == EgressRules(False, ("db.internal", "127.0.0.1:80"))
    assert (await job_of(EgressConfig())).egress == EgressRules(True, ("127.0.0.1:80",))


async def test_other_rules_get_a_sandbox_of_their_own() -> None:
    """One that was bound under wider rules must not serve a job that has narrower ones."""
    small = SmallWorker()
    small.spawner.functions["hello"] = lambda _ctx: 1
    sent = [EgressRules(allow=("127.0.0.1",)), INHERITED, EgressRules(False)]
    async with small.open():
        for rules in sent:
            for _ in range(2):
                assert (await small.queue.call(sample_job(egress=rules))).ok
        bound = [box.binding.egress for box in small.spawner.spawned if box.binding]
    assert bound == sent
