"""Policies of collections on the stored space."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtime.documents.rule_documents import document_of_policies
from runtime.documents.rules import PRESETS
from runtime.errors import InvalidParameterError, NotFoundError
from runtime.messages import CollectionPolicy, PolicyName, Space
from runtime.rule_json import RuleTextError
from tests.unit.management_support import SPACE_ID, Bench


@pytest.fixture
async def bench() -> Bench:
    made = Bench()
    await made.add_space()
    return made


async def test_a_preset_and_an_own_rule_are_kept(bench: Bench) -> None:
    own = '{".write": false, "odd": 1,\n ".read": true}'
    service = bench.database_policies
    assert await service.policies(SPACE_ID) == {}
    await service.set(SPACE_ID, "users", PolicyName.PRIVATE, "counts for EXTENDED only")
    done = await service.set(SPACE_ID, "posts", PolicyName.EXTENDED, own)
    assert done == CollectionPolicy(name=PolicyName.EXTENDED, text=own)
    assert await service.policies(SPACE_ID) == {
        "users": CollectionPolicy(name=PolicyName.PRIVATE, text=PRESETS[PolicyName.PRIVATE]),
        "posts": done,
    }
    assert bench.cache.invalidated


async def test_the_same_again_writes_nothing(bench: Bench) -> None:
    service = bench.database_policies
    await service.set(SPACE_ID, "users", PolicyName.PRIVATE)
    before = await bench.editor.read(SPACE_ID)
    await service.set(SPACE_ID, "users", PolicyName.PRIVATE)
    await service.set_document(SPACE_ID, document_of_policies(before.database.policies))
    assert await bench.editor.read(SPACE_ID) == before


async def test_a_change_meets_one_of_another_program(bench: Bench) -> None:
    service, store = bench.database_policies, bench.control.replace_space
    others = [CollectionPolicy(name=PolicyName.PRIVATE, text=PRESETS[PolicyName.PRIVATE])]

    async def replace_space(space: Space) -> None:
        if others:
            present = await bench.editor.read(SPACE_ID)
            database = replace(present.database, policies={"theirs": others.pop()})
            await store(replace(present, database=database, revision=present.revision + 1))
        await store(space)

    bench.control.replace_space = replace_space  # type: ignore[method-assign]
    await service.set(SPACE_ID, "ours", PolicyName.PUBLICREAD)
    assert list(await service.policies(SPACE_ID)) == ["theirs", "ours"]


async def test_a_document_replaces_all_and_keeps_names_of_presets(bench: Bench) -> None:
    service = bench.database_policies
    await service.set(SPACE_ID, "users", PolicyName.PRIVATE)
    await service.set(SPACE_ID, "gone", PolicyName.PRIVATE)
    private = PRESETS[PolicyName.PRIVATE]
    document = f'{{"db": {{"*": {{"*": false}}, "users": {private}}}}}'
    await service.set_document(SPACE_ID, document)
    assert list((await service.policies(SPACE_ID)).items()) == [
        ("*", CollectionPolicy(name=PolicyName.EXTENDED, text='{"*": false}')),
        ("users", CollectionPolicy(name=PolicyName.PRIVATE, text=private)),
    ]
    await service.set_document(SPACE_ID, '{"db": {}}')
    assert await service.policies(SPACE_ID) == {}


@pytest.mark.parametrize("text", ['{".read": tru}', "[]", '{".read": "request.auth.userId="}'])
async def test_a_fault_is_told_with_its_place(bench: Bench, text: str) -> None:
    with pytest.raises(RuleTextError, match="line 1, column"):
        await bench.database_policies.set(SPACE_ID, "users", PolicyName.EXTENDED, text)
    with pytest.raises(RuleTextError, match="line 2, column"):
        await bench.database_policies.set_document(SPACE_ID, f'{{"db": {{\n"a": {text}}}}}')
    assert await bench.database_policies.policies(SPACE_ID) == {}


@pytest.mark.parametrize("name", ["a$b", "system.users", ".a", "a\0", "x" * 121])
async def test_a_name_that_no_collection_has_gets_no_rule(bench: Bench, name: str) -> None:
    with pytest.raises(InvalidParameterError):
        await bench.database_policies.set(SPACE_ID, name, PolicyName.PRIVATE)


async def test_a_document_cannot_smuggle_such_a_name(bench: Bench) -> None:
    for name in ("a$b", "\\ud800", "\\u0000"):
        with pytest.raises(InvalidParameterError):
            await bench.database_policies.set_document(SPACE_ID, f'{{"db": {{"{name}": {{}}}}}}')
    assert await bench.database_policies.policies(SPACE_ID) == {}


async def test_all_rules_together_are_bounded(bench: Bench) -> None:
    service = bench.database_policies
    rule = f'{{".read": true, "pad": "{"x" * 9900}"}}'
    rules = ", ".join(f'"c{number}": {rule}' for number in range(100))
    await service.set_document(SPACE_ID, f'{{"db": {{{rules}}}}}')
    with pytest.raises(InvalidParameterError) as caught:
        await service.set(SPACE_ID, "one-more", PolicyName.EXTENDED, rule)
    assert caught.value.code == "DatabasePolicyLimitExceeded"
    assert len(await service.policies(SPACE_ID)) == 100


async def test_an_unknown_space(bench: Bench) -> None:
    with pytest.raises(NotFoundError):
        await bench.database_policies.set("mp-none", "a", PolicyName.PRIVATE)
    with pytest.raises(NotFoundError):
        await bench.database_policies.policies("mp-none")
