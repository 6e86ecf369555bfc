"""Revoked tokens: none passes, new ones do, and what is stored stays small."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import InvalidParameterError, NotFoundError, TokenError
from runtime.messages import AccessConfig, Principal
from runtime.services.directory import SpaceDirectory
from runtime.services.revocations import (
    CLOCKS_APART_MS,
    RevocationService,
    is_revoked,
    stamp_ms,
)
from runtime.services.space_editor import SpaceEditor
from runtime.services.tokens import TokenService
from tests.harness.clock import FakeClock
from tests.unit.management_support import BOX, SPACE_ID, Bench

ALICE, BOB = "6560f0aa0123456789abcdef", "6560f0aa0123456789abcde0"


class Stage:
    """Tokens and revocations of one space."""

    def __init__(self, bench: Bench, revocations_max: int = 3) -> None:
        self.bench = bench
        self.clock = FakeClock()
        self.revocations = RevocationService(
            editor=bench.editor,
            clock=self.clock,
            token_ttl_s=600,
            revocations_max=revocations_max,
        )
        self.tokens = TokenService(
            store=bench.control,
            box=BOX,
            clock=self.clock,
            ttl_s=600,
            rotate_s=86_400,
            settle_s=10,
        )

    async def token(self, user_id: str = ALICE) -> str:
        principal = Principal(user_id=user_id)
        return self.tokens.issue(SPACE_ID, principal, access=await self.access())

    async def access(self) -> AccessConfig:
        return (await self.bench.editor.read(SPACE_ID)).access

    async def passes(self, token: str) -> bool:
        try:
            self.tokens.verify(SPACE_ID, token, access=await self.access())
        except TokenError as error:
            return error.code != "GATEWAY_INVALID_TOKEN"  # with it the SDK authorizes again
        return True


@pytest.fixture
async def stage() -> Stage:
    bench = Bench()
    await bench.add_space()
    stage = Stage(bench)
    await stage.tokens.load()
    return stage


async def test_tokens_of_one_user_end_and_new_ones_pass(stage: Stage) -> None:
    mine, other = await stage.token(), await stage.token(BOB)
    await stage.revocations.revoke_user(SPACE_ID, ALICE)
    assert not await stage.passes(mine), "of the same millisecond"
    assert await stage.passes(other)
    anew = await stage.token()
    assert await stage.passes(anew), "of the same millisecond, but later"
    await stage.revocations.revoke_user(SPACE_ID, ALICE)
    assert not await stage.passes(anew)
    assert len((await stage.access()).revocations) == 1


async def test_tokens_of_everybody_end(stage: Stage) -> None:
    await stage.revocations.revoke_user(SPACE_ID, ALICE)
    tokens = [await stage.token(), await stage.token(BOB)]
    await stage.revocations.revoke_everybody(SPACE_ID)
    assert [await stage.passes(each) for each in tokens] == [False, False]
    assert await stage.passes(await stage.token())
    assert (await stage.access()).revocations == ()


async def test_what_no_token_can_need_is_forgotten(stage: Stage) -> None:
    await stage.revocations.revoke_user(SPACE_ID, ALICE)
    stage.clock.advance(605)
    await stage.revocations.revoke_user(SPACE_ID, BOB)
    assert len((await stage.access()).revocations) == 2, "clocks of gateways differ"
    stage.clock.advance(61)
    await stage.revocations.revoke_user(SPACE_ID, BOB)
    assert [each.user_id for each in (await stage.access()).revocations] == [BOB]


async def test_too_many_lose_none_of_them(stage: Stage) -> None:
    users = [f"{9 - number:024x}" for number in range(6)]
    revoked = [await stage.token(user) for user in users]
    times = []
    for user in users:
        stage.clock.advance(1)
        times.append(await stage.revocations.revoke_user(SPACE_ID, user))
    access = await stage.access()
    assert [each.user_id for each in access.revocations] == users[3:], "the newest stay apart"
    assert access.tokens_from_ms == times[2] + CLOCKS_APART_MS
    assert not [token for token in revoked if await stage.passes(token)]
    assert await stage.passes(await stage.token(users[0]))


async def test_unknown_spaces_and_what_is_no_user(stage: Stage) -> None:
    with pytest.raises(NotFoundError):
        await stage.revocations.revoke_user("mp-unknown", ALICE)
    with pytest.raises(NotFoundError):
        await stage.revocations.revoke_everybody("mp-unknown")
    for user_id in ("", "abc", ALICE.upper(), f"{ALICE}0", "字" * 24):
        with pytest.raises(InvalidParameterError):
            await stage.revocations.revoke_user(SPACE_ID, user_id)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 300), st.booleans()), max_size=25))
async def test_no_revoked_token_ever_passes(steps: list[tuple[int, int, bool]]) -> None:
    """Against a model that remembers everything: one user in turn gets a token, then that user or everybody
    is revoked, maybe in the same millisecond."""
    bench = Bench()
    await bench.add_space()
    stage = Stage(bench, revocations_max=2)
    revoked: set[int] = set()
    issued: list[tuple[str, int, int]] = []
    for user, seconds, everybody in steps:
        user_id = f"{user:024x}"
        now_ms = stage.clock.now_ms()
        issued.append((user_id, now_ms, stamp_ms(await stage.access(), user_id, now_ms)))
        stage.clock.advance(seconds)
        if everybody:
            await stage.revocations.revoke_everybody(SPACE_ID)
        else:
            await stage.revocations.revoke_user(SPACE_ID, user_id)
        revoked |= {at for at, each in enumerate(issued) if everybody or each[0] == user_id}
        access, now_ms = await stage.access(), stage.clock.now_ms()
        assert len(access.revocations) <= 2
        for at in revoked:
            whose, issued_ms, stamp = issued[at]
            lives = now_ms - issued_ms <= 600_000
            assert not lives or is_revoked(access, whose, stamp)
        anew_ms = stamp_ms(access, user_id, now_ms)
        assert not is_revoked(access, user_id, anew_ms), "a new token passes"


class Gateway(Stage):
    """One of several over one control plane, with its own clock and its own view of the space."""

    def __init__(self, bench: Bench, *, ahead_s: float) -> None:
        super().__init__(bench)
        self.clock.advance(ahead_s)
        self.directory = SpaceDirectory(
            store=bench.control, box=BOX, clock=self.clock, max_age_s=1e9, poll_s=1, max_spaces=9
        )
        self.revocations = RevocationService(
            editor=SpaceEditor(control=bench.control, cache=self.directory),
            clock=self.clock,
            token_ttl_s=600,
            revocations_max=3,
        )

    async def access(self) -> AccessConfig:
        """As it is known here."""
        return (await self.directory.get(SPACE_ID)).access


class Gateways:
    """Two of them, the second with another clock."""

    def __init__(self, bench: Bench, apart_s: float) -> None:
        self.revoking = Gateway(bench, ahead_s=0)
        self.other = Gateway(bench, ahead_s=apart_s)

    @classmethod
    async def of(cls, apart_s: float) -> Gateways:
        bench = Bench()
        await bench.add_space()
        gateways = cls(bench, apart_s)
        for gateway in (gateways.revoking, gateways.other):
            await gateway.tokens.load()
            await gateway.access()
        return gateways

    def advance(self, seconds: float) -> None:
        for gateway in (self.revoking, self.other):
            gateway.clock.advance(seconds)

    async def pass_at(self, token: str) -> tuple[bool, bool]:
        return await self.revoking.passes(token), await self.other.passes(token)


@pytest.mark.parametrize("everybody", [True, False])
@pytest.mark.parametrize("apart_s", [-4.9, -3, 0, 3, 4.9])
async def test_no_token_outlives_a_revocation_where_clocks_differ(
    apart_s: float, everybody: bool
) -> None:
    gateways = await Gateways.of(apart_s)
    one, other = gateways.revoking, gateways.other
    tokens = [await one.token(), await other.token()]
    if everybody:
        await one.revocations.revoke_everybody(SPACE_ID)
    else:
        await one.revocations.revoke_user(SPACE_ID, ALICE)
    early = await other.token()
    assert await gateways.pass_at(early) == (False, True), "the other does not know yet"
    await other.directory.poll()
    assert await gateways.pass_at(early) == (False, False)
    for each in tokens:
        assert await gateways.pass_at(each) == (False, False)
    for anew in (await one.token(), await other.token()):
        assert await gateways.pass_at(anew) == (True, True)
        tokens.append(anew)
    await other.revocations.revoke_user(SPACE_ID, ALICE)  # at once, by the other clock
    await one.directory.poll()
    for each in tokens:
        assert await gateways.pass_at(each) == (False, False)
    assert await gateways.pass_at(await one.token()) == (True, True)
    if not everybody:
        assert await gateways.pass_at(await one.token(BOB)) == (True, True)


@pytest.mark.parametrize("apart_s", [-4, 4])
async def test_a_revocation_of_everybody_covers_what_a_users_revocation_let_pass(
    apart_s: float,
) -> None:
    """A new token is stamped after its user's revocation, which another clock may have put further ahead."""
    gateways = await Gateways.of(apart_s)
    one, other = gateways.revoking, gateways.other
    await other.revocations.revoke_user(SPACE_ID, ALICE)
    await one.directory.poll()
    token = await one.token()
    assert await gateways.pass_at(token) == (True, True)
    await one.revocations.revoke_everybody(SPACE_ID)
    await other.directory.poll()
    assert await gateways.pass_at(token) == (False, False)


@pytest.mark.parametrize("apart_s", [-3600, 3600])
async def test_a_clock_that_is_far_off_locks_nobody_out(apart_s: float) -> None:
    gateways = await Gateways.of(apart_s)
    await gateways.other.revocations.revoke_user(SPACE_ID, ALICE)
    await gateways.revoking.directory.poll()
    assert await gateways.revoking.passes(await gateways.revoking.token())
