"""The file rules on the stored space, and the actions on them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtime.errors import InvalidParameterError, NotFoundError
from runtime.files.rules import DEFAULT_FILE_RULES
from runtime.gateway.management.file_policies import describe_file_policy, update_file_policy
from runtime.gateway.management.parameters import Parameters
from runtime.messages import Space
from runtime.rule_json import RuleTextError
from runtime.services.file_policies import FilePolicyService
from tests.unit.management_support import SPACE_ID, Bench

RULES = ' {"file": {"/\\\\.png$/": {".read": true},\n "*": {"*": false}}}\n'


@pytest.fixture
async def bench() -> Bench:
    made = Bench()
    await made.add_space()
    return made


@pytest.fixture
def policies(bench: Bench) -> FilePolicyService:
    return FilePolicyService(editor=bench.editor, clock=bench.clock)


async def test_rules_are_kept_as_they_were_written(
    bench: Bench, policies: FilePolicyService
) -> None:
    assert await policies.rules(SPACE_ID) == DEFAULT_FILE_RULES
    await policies.set(SPACE_ID, RULES)
    assert await policies.rules(SPACE_ID) == RULES
    assert bench.cache.invalidated
    for blank in ("", " \n"):
        await policies.set(SPACE_ID, RULES)
        await policies.set(SPACE_ID, blank)
        assert (await bench.editor.read(SPACE_ID)).files.rules == ""
        assert await policies.rules(SPACE_ID) == DEFAULT_FILE_RULES


async def test_the_same_again_writes_nothing(bench: Bench, policies: FilePolicyService) -> None:
    await policies.set(SPACE_ID, RULES)
    before = await bench.editor.read(SPACE_ID)
    await policies.set(SPACE_ID, RULES)
    assert await bench.editor.read(SPACE_ID) == before
    await policies.set(SPACE_ID, DEFAULT_FILE_RULES)
    assert (await bench.editor.read(SPACE_ID)).revision == before.revision + 1


async def test_a_change_meets_one_of_another_program(
    bench: Bench, policies: FilePolicyService
) -> None:
    store = bench.control.replace_space
    others = ["theirs"]

    async def replace_space(space: Space) -> None:
        if others:
            present = await bench.editor.read(SPACE_ID)
            await store(replace(present, desc=others.pop(), revision=present.revision + 1))
        await store(space)

    bench.control.replace_space = replace_space  # type: ignore[method-assign]
    await policies.set(SPACE_ID, RULES)
    space = await bench.editor.read(SPACE_ID)
    assert (space.desc, space.files.rules) == ("theirs", RULES)


@pytest.mark.parametrize("text", ["{", "[]", '{"file": {"/(?=a)/": {}}}', '{"db": {}}', "\ud800"])
async def test_wrong_rules_change_nothing(policies: FilePolicyService, text: str) -> None:
    await policies.set(SPACE_ID, RULES)
    with pytest.raises(RuleTextError, match="line 1, column"):
        await policies.set(SPACE_ID, text)
    assert await policies.rules(SPACE_ID) == RULES


async def test_an_unknown_space(policies: FilePolicyService) -> None:
    with pytest.raises(NotFoundError):
        await policies.rules("mp-none")
    with pytest.raises(NotFoundError):
        await policies.set("mp-none", RULES)


async def test_actions(policies: FilePolicyService) -> None:
    row = {
        "SpaceId": SPACE_ID,
        "ServiceName": "file",
        "CollectionName": "",
        "PolicyName": "EXTENDED",
    }
    told = await describe_file_policy(policies, SPACE_ID, Parameters({}))
    assert told == {**row, "Policy": DEFAULT_FILE_RULES}
    given = Parameters({"Policy": RULES, "PolicyName": "extended", "CollectionName": ""})
    assert await update_file_policy(policies, SPACE_ID, given) == {**row, "Policy": RULES}
    assert await describe_file_policy(policies, SPACE_ID, given) == {**row, "Policy": RULES}
    told = await update_file_policy(policies, SPACE_ID, Parameters({"Policy": ""}))
    assert told["Policy"] == DEFAULT_FILE_RULES


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, "MissingPolicy"),
        ({"Policy": "{"}, "InvalidParameter.Policy"),
        ({"Policy": RULES, "CollectionName": "users"}, "InvalidParameter.CollectionName"),
        ({"Policy": RULES, "PolicyName": "PRIVATE"}, "InvalidParameter.PolicyName"),
    ],
)
async def test_actions_that_are_wrong(
    policies: FilePolicyService, parameters: dict[str, str], code: str
) -> None:
    with pytest.raises(InvalidParameterError) as refused:
        await update_file_policy(policies, SPACE_ID, Parameters(parameters))
    assert refused.value.code == code
    assert await policies.rules(SPACE_ID) == DEFAULT_FILE_RULES
