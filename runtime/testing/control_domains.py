"""What every `ControlStore` adapter must keep about custom domains; part of its contract suite."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from runtime.errors import ConflictError, DomainTakenError, NotFoundError
from runtime.messages import HttpTriggerConfig, Space
from runtime.ports import ControlStore, CustomDomain
from runtime.testing.control_samples import sample_space, sample_space_at


class CustomDomainContract:
    """No two spaces have the same domain, whoever comes first."""

    @pytest.fixture
    def store(self) -> ControlStore:
        raise NotImplementedError

    async def test_custom_domains_are_those_stored_now(self, store: ControlStore) -> None:
        assert list(await store.custom_domains()) == []
        first, second, third = (sample_space_at(f"{name}.example.com") for name in "abc")
        for space in (first, second, third, sample_space_at(""), sample_space_at("")):
            await store.create_space(space)
        await store.replace_space(replace(first, revision=2, name="renamed"))
        await store.replace_space(replace(second, revision=2, http_triggers=HttpTriggerConfig()))
        await store.delete_space(third.space_id)
        late = sample_space()
        await store.create_space(late)
        await store.replace_space(sample_space_at("late.example.com", late.space_id, revision=2))
        assert await _domains(store) == {
            CustomDomain(domain="a.example.com", space_id=first.space_id, revision=2),
            CustomDomain(domain="late.example.com", space_id=late.space_id, revision=2),
        }

    async def test_domain_of_another_space_is_taken(self, store: ControlStore) -> None:
        owner, other = sample_space_at("a.example.com"), sample_space_at("b.example.com")
        await store.create_space(owner)
        await store.create_space(other)
        refused = sample_space_at("a.example.com")
        with pytest.raises(DomainTakenError, match=r"a\.example\.com"):
            await store.create_space(refused)
        with pytest.raises(DomainTakenError, match=r"a\.example\.com"):
            await store.replace_space(sample_space_at("a.example.com", other.space_id, revision=2))
        assert await store.read_space(refused.space_id) is None
        assert await store.read_space(owner.space_id) == owner
        assert await store.read_space(other.space_id) == other

    async def test_any_number_of_spaces_has_no_domain(self, store: ControlStore) -> None:
        spaces = [sample_space_at(domain) for domain in ("", "", "a.example.com", "b.example.com")]
        for space in spaces:
            await store.create_space(space)
        for space in spaces:
            await store.replace_space(sample_space_at("", space.space_id, revision=2))
        assert list(await store.custom_domains()) == []

    async def test_domain_that_was_given_up_can_be_claimed(self, store: ControlStore) -> None:
        left, removed, deleted = (sample_space_at(f"{name}.example.com") for name in "abc")
        for space in (left, removed, deleted):
            await store.create_space(space)
        await store.replace_space(sample_space_at("d.example.com", left.space_id, revision=2))
        await store.replace_space(sample_space_at("", removed.space_id, revision=2))
        await store.delete_space(deleted.space_id)
        claims = [sample_space() for _ in "abc"]
        for space, name in zip(claims, "abc", strict=True):
            await store.create_space(space)
            await store.replace_space(
                sample_space_at(f"{name}.example.com", space.space_id, revision=2)
            )
        found = {(each.domain, each.space_id) for each in await store.custom_domains()}
        assert found == {
            ("a.example.com", claims[0].space_id),
            ("b.example.com", claims[1].space_id),
            ("c.example.com", claims[2].space_id),
            ("d.example.com", left.space_id),
        }

    async def test_an_existing_id_is_said_before_a_taken_domain(self, store: ControlStore) -> None:
        owner, other = sample_space_at("a.example.com"), sample_space_at("b.example.com")
        await store.create_space(owner)
        await store.create_space(other)
        for again in (owner, sample_space_at("a.example.com", other.space_id)):
            with pytest.raises(ConflictError) as caught:
                await store.create_space(again)
            assert caught.value.code == "AlreadyExists"

    async def test_a_lost_change_is_said_before_a_taken_domain(self, store: ControlStore) -> None:
        other = sample_space()
        await store.create_space(sample_space_at("a.example.com"))
        await store.create_space(other)
        with pytest.raises(ConflictError):
            await store.replace_space(sample_space_at("a.example.com", other.space_id, revision=3))
        with pytest.raises(NotFoundError):
            await store.replace_space(sample_space_at("a.example.com", revision=2))

    async def test_one_of_many_concurrent_claims_wins(self, store: ControlStore) -> None:
        spaces = [sample_space() for _ in range(8)]
        for space in spaces:
            await store.create_space(space)
        claims = [sample_space_at("a.example.com", each.space_id, revision=2) for each in spaces]
        winner = await _only_winner(claims, store.replace_space)
        assert await _domains(store) == {
            CustomDomain(domain="a.example.com", space_id=winner.space_id, revision=2)
        }
        for before, claim in zip(spaces, claims, strict=True):
            expected = claim if claim is winner else before
            assert await store.read_space(before.space_id) == expected

    async def test_one_of_many_new_spaces_gets_the_domain(self, store: ControlStore) -> None:
        spaces = [sample_space_at("a.example.com") for _ in range(8)]
        winner = await _only_winner(spaces, store.create_space)
        assert await store.list_spaces(offset=0, limit=9) == ([winner], 1)


async def _domains(store: ControlStore) -> set[CustomDomain]:
    found = await store.custom_domains()
    assert len(set(found)) == len(found)
    return set(found)


async def _only_winner(claims: Sequence[Space], claim: Callable[[Space], Awaitable[None]]) -> Space:
    """The one space whose claim went through; all others must have been told why not."""
    results = await asyncio.gather(*map(claim, claims), return_exceptions=True)
    winners = [each for each, result in zip(claims, results, strict=True) if result is None]
    assert len(winners) == 1
    assert sum(isinstance(result, DomainTakenError) for result in results) == len(claims) - 1
    return winners[0]
