"""Use cases of egress rules over the control plane in memory."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from runtime.errors import InvalidParameterError, NotFoundError
from runtime.messages import EgressConfig, EgressMode
from runtime.services.egress import EgressChange
from runtime.services.functions import FunctionChange
from runtime.settings import Settings
from tests.unit.management_support import SPACE_ID, Bench


@pytest.fixture
async def bench() -> Bench:
    bench = Bench(settings=Settings(egress_rules_max=3))
    await bench.add_space()
    await bench.functions.create(SPACE_ID, "demo", FunctionChange())
    return bench


async def test_allow_remove_and_clear_add_up(bench: Bench) -> None:
    update = bench.egress.update
    space = await update(SPACE_ID, None, EgressChange(allow=("10.0.0.5:3306", "DB.internal")))
    assert space.egress.allow == ("10.0.0.5:3306", "db.internal")
    change = EgressChange(remove=("db.INTERNAL.", "1.1.1.1"), allow=("10.0.0.5:3306", "::1"))
    space = await update(SPACE_ID, None, change)
    assert space.egress.allow == ("10.0.0.5:3306", "::1")
    assert await bench.egress.get(SPACE_ID) == space
    space = await update(SPACE_ID, None, EgressChange(clear=True, allow=("::1",)))
    assert space.egress == EgressConfig(allow=("::1",))
    space = await update(SPACE_ID, None, EgressChange(clear=True))
    assert space.egress == EgressConfig()


async def test_mode_and_rules_of_a_function_are_its_own(bench: Bench) -> None:
    change = EgressChange(mode=EgressMode.NONE, allow=("127.0.0.1:80",))
    space = await bench.egress.update(SPACE_ID, "demo", change)
    assert space.egress == EgressConfig()
    assert space.functions["demo"].egress == EgressConfig(
        mode=EgressMode.NONE, allow=("127.0.0.1:80",)
    )
    space = await bench.egress.update(SPACE_ID, "demo", EgressChange(mode=EgressMode.INHERIT))
    assert space.functions["demo"].egress == EgressConfig(allow=("127.0.0.1:80",))
    await bench.functions.update(SPACE_ID, "demo", FunctionChange(memory_mb=512))
    assert (await bench.egress.get(SPACE_ID)).functions["demo"].egress.allow == ("127.0.0.1:80",)


async def test_the_same_again_changes_nothing(bench: Bench) -> None:
    first = await bench.egress.update(SPACE_ID, None, EgressChange(allow=("::1",)))
    bench.clock.advance(5)
    for change in (EgressChange(allow=("::1",)), EgressChange(remove=("fd00::2",)), EgressChange()):
        assert await bench.egress.update(SPACE_ID, None, change) == first
    changed = await bench.egress.update(SPACE_ID, None, EgressChange(mode=EgressMode.NONE))
    assert changed.revision == first.revision + 1
    assert changed.modified_ms == first.modified_ms + 5000


async def test_what_is_wrong_changes_nothing(bench: Bench) -> None:
    before = await bench.egress.get(SPACE_ID)
    for change, code in (
        (EgressChange(allow=("::1", "10.0.0.1/8")), "InvalidEgressRule"),
        (EgressChange(remove=("nonsense!",)), "InvalidEgressRule"),
        (EgressChange(remove=("::1",), allow=("0::1",)), "InvalidParameter.Remove"),
        (EgressChange(allow=tuple(f"10.0.0.{n}" for n in range(4))), "EgressRuleLimitExceeded"),
    ):
        with pytest.raises(InvalidParameterError) as caught:
            await bench.egress.update(SPACE_ID, None, change)
        assert caught.value.code == code
    for space_id, name in ((SPACE_ID, "other"), ("mp-unknown", None)):
        with pytest.raises(NotFoundError):
            await bench.egress.update(space_id, name, EgressChange(allow=("::1",)))
    assert await bench.egress.get(SPACE_ID) == before


async def test_a_bound_that_sank_does_not_stop_removing() -> None:
    bench = Bench()
    await bench.add_space()
    rules = tuple(f"10.0.0.{n}" for n in range(5))
    await bench.egress.update(SPACE_ID, None, EgressChange(allow=rules))
    lower = Bench(settings=Settings(egress_rules_max=3), control=bench.control)
    space = await lower.egress.update(SPACE_ID, None, EgressChange(remove=rules[:1]))
    assert len(space.egress.allow) == 4


async def test_changes_at_the_same_time_are_all_kept(bench: Bench) -> None:
    rules = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    await asyncio.gather(
        *(bench.egress.update(SPACE_ID, None, EgressChange(allow=(rule,))) for rule in rules)
    )
    assert sorted((await bench.egress.get(SPACE_ID)).egress.allow) == rules


async def test_what_is_opened_is_told_in_the_programs_log(bench: Bench) -> None:
    with capture_logs() as logs:
        change = EgressChange(allow=("127.0.0.1:80", "8.8.8.8", "169.254.169.254"))
        await bench.egress.update(SPACE_ID, "demo", change)
    assert [each["event"] for each in logs] == [
        "egress_changed",
        "egress_opens_special_addresses",
        "egress_opens_special_addresses",
    ]
    assert logs[0]["allowed"] == ["127.0.0.1:80", "8.8.8.8", "169.254.169.254"]
    assert [(each["log_level"], each["rule"], each["opens"]) for each in logs[1:]] == [
        ("warning", "127.0.0.1:80", ["a loopback address"]),
        ("warning", "169.254.169.254", ["a link-local address"]),
    ]


async def test_an_installation_for_tenants_lets_rules_narrow_only() -> None:
    settings = Settings(egress_space_rules="narrow", egress_allow="10.0.0.5:3306")
    bench = Bench(settings=settings)
    await bench.add_space()
    change = EgressChange(mode=EgressMode.NONE, allow=("10.0.0.5:3306", "1.1.1.1"))
    assert len((await bench.egress.update(SPACE_ID, None, change)).egress.allow) == 2
    with pytest.raises(InvalidParameterError, match="YUNHAN_EGRESS_SPACE_RULES") as caught:
        await bench.egress.update(SPACE_ID, None, EgressChange(allow=("127.0.0.1",)))
    assert caught.value.code == "InvalidEgressRule"
