"""Access tokens: genuine ones pass, everything else is token trouble."""

from __future__ import annotations

import base64
from dataclasses import replace

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.backends.control_memory import ControlMemory
from runtime.errors import TokenError
from runtime.messages import AccessConfig, Principal, Revocation
from runtime.sealing import SecretBox
from runtime.services.tokens import TokenService
from tests.harness.clock import FakeClock

SPACE = "mp-00000000-0000-4000-8000-000000000001"
NOTHING = AccessConfig()
USER = Principal(user_id="6560f0aa0123456789abcdef", app_id="app-1", provider="alipay_openapi")


def service(store: ControlMemory, clock: FakeClock) -> TokenService:
    return TokenService(
        store=store, box=SecretBox(b"k" * 32), clock=clock, ttl_s=600, rotate_s=86_400, settle_s=10
    )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store() -> ControlMemory:
    return ControlMemory()


async def test_a_token_tells_its_user(store: ControlMemory, clock: FakeClock) -> None:
    tokens = service(store, clock)
    await tokens.load()
    assert tokens.verify(SPACE, tokens.issue(SPACE, USER, access=NOTHING), access=NOTHING) == USER


async def test_every_gateway_verifies_every_token(store: ControlMemory, clock: FakeClock) -> None:
    one, other = service(store, clock), service(store, clock)
    await one.load()
    await other.load()
    assert other.verify(SPACE, one.issue(SPACE, USER, access=NOTHING), access=NOTHING) == USER


async def test_a_token_ends_after_its_time(store: ControlMemory, clock: FakeClock) -> None:
    tokens = service(store, clock)
    await tokens.load()
    token = tokens.issue(SPACE, USER, access=NOTHING)
    clock.advance(599)
    assert tokens.verify(SPACE, token, access=NOTHING) == USER
    clock.advance(1)
    with pytest.raises(TokenError, match="expired"):
        tokens.verify(SPACE, token, access=NOTHING)


async def test_a_token_is_good_for_its_space_only(store: ControlMemory, clock: FakeClock) -> None:
    tokens = service(store, clock)
    await tokens.load()
    with pytest.raises(TokenError, match="another space"):
        tokens.verify("mp-other", tokens.issue(SPACE, USER, access=NOTHING), access=NOTHING)


async def test_any_changed_character_is_refused(store: ControlMemory, clock: FakeClock) -> None:
    tokens = service(store, clock)
    await tokens.load()
    token = tokens.issue(SPACE, USER, access=NOTHING)
    for place in range(len(token)):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        if _same_bytes(changed, token):
            continue  # the last base64 character has bits that carry nothing
        with pytest.raises(TokenError):
            tokens.verify(SPACE, changed, access=NOTHING)


def _same_bytes(one: str, other: str) -> bool:
    def mac(token: str) -> bytes:
        text = token.rpartition(".")[2]
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    return one.rpartition(".")[0] == other.rpartition(".")[0] and mac(one) == mac(other)


@given(st.text(max_size=100))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_garbage_is_token_trouble(text: str) -> None:
    tokens = service(ControlMemory(), FakeClock())
    await tokens.load()
    key_id = tokens.issue(SPACE, USER, access=NOTHING).split(".")[1]
    for garbage in (text, f"1.{text}", f"1.{key_id}.{text}", f"1.{key_id}.{text}.{text}"):
        with pytest.raises(TokenError):
            tokens.verify(SPACE, garbage, access=NOTHING)


async def test_rotation_is_not_seen_by_users(store: ControlMemory, clock: FakeClock) -> None:
    rotating, lagging = service(store, clock), service(store, clock)
    await rotating.load()
    await lagging.load()
    before = rotating.issue(SPACE, USER, access=NOTHING)
    clock.advance(86_401)
    await rotating.load()  # makes a new key, which the other gateway does not know yet
    assert (
        lagging.verify(SPACE, rotating.issue(SPACE, USER, access=NOTHING), access=NOTHING) == USER
    )
    await lagging.load()
    clock.advance(10)
    await rotating.load()
    after = rotating.issue(SPACE, USER, access=NOTHING)
    assert after.split(".")[1] != before.split(".")[1], "the new key signs now"
    assert lagging.verify(SPACE, after, access=NOTHING) == USER


async def test_only_two_keys_live(store: ControlMemory, clock: FakeClock) -> None:
    tokens = service(store, clock)
    for _ in range(4):
        await tokens.load()
        clock.advance(86_401)
    assert len(await store.token_keys()) == 2


async def test_keys_are_stored_sealed_and_survive_a_restart(
    store: ControlMemory, clock: FakeClock
) -> None:
    first = service(store, clock)
    await first.load()
    token = first.issue(SPACE, USER, access=NOTHING)
    again = service(store, clock)
    await again.load()
    assert again.verify(SPACE, token, access=NOTHING) == USER


def forged(tokens: TokenService, **claims: object) -> str:
    """A token with these claims, signed with the present key, as another version would issue it."""
    key_id = tokens.issue(SPACE, USER, access=NOTHING).split(".")[1]
    payload = base64.urlsafe_b64encode(orjson.dumps(claims)).decode().rstrip("=")
    signed = f"1.{key_id}.{payload}"
    mac = base64.urlsafe_b64encode(tokens._mac(key_id, signed)).decode().rstrip("=")
    return f"{signed}.{mac}"


async def test_tokens_of_an_older_version_are_valid_and_can_be_revoked(
    store: ControlMemory, clock: FakeClock
) -> None:
    tokens = service(store, clock)
    await tokens.load()
    issued_ms = clock.now_ms()
    old = forged(
        tokens,
        s=SPACE,
        u=USER.user_id,
        e=issued_ms // 1000 + 600,
        a=USER.app_id,
        p=USER.provider,
    )
    clock.advance(30)
    assert tokens.verify(SPACE, old, access=NOTHING) == USER
    before = AccessConfig(tokens_from_ms=issued_ms - 1000)
    assert tokens.verify(SPACE, old, access=before) == USER
    for access in (
        AccessConfig(tokens_from_ms=issued_ms + 1000),
        AccessConfig(
            revocations=(Revocation(user_id=USER.user_id or "", before_ms=issued_ms + 1000),)
        ),
    ):
        with pytest.raises(TokenError, match="revoked"):
            tokens.verify(SPACE, old, access=access)


async def test_a_token_carries_what_the_platform_calls_its_user(
    store: ControlMemory, clock: FakeClock
) -> None:
    tokens = service(store, clock)
    await tokens.load()
    named = replace(USER, open_id="2088000000000001")
    assert tokens.verify(SPACE, tokens.issue(SPACE, named, access=NOTHING), access=NOTHING) == named


async def test_a_shorter_life_holds_for_tokens_that_are_out(
    store: ControlMemory, clock: FakeClock
) -> None:
    """Else a revocation would be forgotten before the tokens that it is about."""
    tokens = service(store, clock)
    await tokens.load()
    token = tokens.issue(SPACE, USER, access=NOTHING)
    tokens.ttl_s = 60
    clock.advance(60)
    assert tokens.verify(SPACE, token, access=NOTHING) == USER
    clock.advance(1)
    with pytest.raises(TokenError, match="expired"):
        tokens.verify(SPACE, token, access=NOTHING)


async def test_a_time_of_issue_ahead_does_not_lengthen_a_life(
    store: ControlMemory, clock: FakeClock
) -> None:
    """A token is stamped after the revocations that are known, and still ends after its time."""
    tokens = service(store, clock)
    await tokens.load()
    access = AccessConfig(tokens_from_ms=clock.now_ms() + 5000)
    token = tokens.issue(SPACE, USER, access=access)
    assert tokens.verify(SPACE, token, access=access) == USER
    clock.advance(599)
    assert tokens.verify(SPACE, token, access=access) == USER
    clock.advance(1)
    with pytest.raises(TokenError, match="expired"):
        tokens.verify(SPACE, token, access=access)
