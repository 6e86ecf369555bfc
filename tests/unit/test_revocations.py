"""Revoked tokens: none passes, new ones do, and what is stored stays small."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import InvalidParameterError, NotFoundError, TokenError
from runtime.messages import AccessConfig, Principal
from runtime.services.revocations import RevocationService, is_revoked
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

    def token(self, user_id: str = ALICE) -> str:
        return self.tokens.issue(SPACE_ID, Principal(user_id=user_id))

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
    mine, other = stage.token(), stage.token(BOB)
    stage.clock.advance(0.001)
    await stage.revocations.revoke_user(SPACE_ID, ALICE)
    assert not await stage.passes(mine)
    assert await stage.passes(other)
    anew = stage.token()
    assert await stage.passes(anew), "in the same millisecond"
    stage.clock.advance(0.001)
    await stage.revocations.revoke_user(SPACE_ID, ALICE)
    assert not await stage.passes(anew)
    assert len((await stage.access()).revocations) == 1


async def test_tokens_of_everybody_end(stage: Stage) -> None:
    await stage.revocations.revoke_user(SPACE_ID, ALICE)
    tokens = [stage.token(), stage.token(BOB)]
    stage.clock.advance(1)
    await stage.revocations.revoke_everybody(SPACE_ID)
    assert [await stage.passes(each) for each in tokens] == [False, False]
    assert await stage.passes(stage.token())
    assert (await stage.access()).revocations == ()


async def test_what_no_token_can_need_is_forgotten(stage: Stage) -> None:
    await stage.revocations.revoke_user(SPACE_ID, ALICE)
    stage.clock.advance(600)
    await stage.revocations.revoke_user(SPACE_ID, BOB)
    assert len((await stage.access()).revocations) == 2, "clocks of gateways differ"
    stage.clock.advance(61)
    await stage.revocations.revoke_user(SPACE_ID, BOB)
    assert [each.user_id for each in (await stage.access()).revocations] == [BOB]


async def test_too_many_lose_none_of_them(stage: Stage) -> None:
    users = [f"{9 - number:024x}" for number in range(6)]
    revoked = [stage.token(user) for user in users]
    times = []
    for user in users:
        stage.clock.advance(1)
        times.append(await stage.revocations.revoke_user(SPACE_ID, user))
    access = await stage.access()
    assert [each.user_id for each in access.revocations] == users[3:], "the newest stay apart"
    assert access.tokens_from_ms == times[2]
    assert not [token for token in revoked if await stage.passes(token)]
    assert await stage.passes(stage.token(users[0]))


async def test_unknown_spaces_and_what_is_no_user(stage: Stage) -> None:
    with pytest.raises(NotFoundError):
        await stage.revocations.revoke_user("mp-unknown", ALICE)
    with pytest.raises(NotFoundError):
        await stage.revocations.revoke_everybody("mp-unknown")
    for user_id in ("", "abc", ALICE.upper(), f"{ALICE}0", "字" * 24):
        with pytest.raises(InvalidParameterError):
            await stage.revocations.revoke_user(SPACE_ID, user_id)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 300)), max_size=25))
async def test_no_revoked_token_ever_passes(steps: list[tuple[int, int]]) -> None:
    """Against a model that remembers everything: one user in turn gets a token, then is revoked."""
    bench = Bench()
    await bench.add_space()
    stage = Stage(bench, revocations_max=2)
    revoked: list[tuple[str, int]] = []
    issued: list[tuple[str, int]] = []
    for user, seconds in steps:
        user_id = f"{user:024x}"
        issued.append((user_id, stage.clock.now_ms()))
        stage.clock.advance(seconds + 1)
        revoked.append((user_id, await stage.revocations.revoke_user(SPACE_ID, user_id)))
        access = await stage.access()
        assert len(access.revocations) <= 2
        for whose, issued_ms in issued:
            lives = stage.clock.now_ms() - issued_ms <= 600_000
            meant = any(whose == each and issued_ms < before for each, before in revoked)
            assert not (lives and meant) or is_revoked(access, whose, issued_ms)
        assert not is_revoked(access, user_id, stage.clock.now_ms()), "a new token passes"
