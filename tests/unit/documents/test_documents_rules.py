"""Access rules against a second reading of the guide, step by step, one document at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runtime.documents.hidden import OWNER_FIELD
from runtime.documents.rules import (
    ALLOW,
    PRESETS,
    REFUSE,
    Decision,
    Rules,
    operation_of,
    policy_of,
)
from runtime.errors import InvalidParameterError
from runtime.messages import ADMINISTRATION, CollectionPolicy, PolicyName, Verb
from runtime.rule_json import Operation, RuleTextError

OWN = "request.auth.userId==resource.auth.userId"
OWNERS = ("u1", "u2", "u3", "nobody else", None)

Meaning = Callable[[str | None, str | None], bool]
"""Of (user, owner)."""


def constant(value: str | None) -> Callable[[str | None, str | None], str | None]:
    return lambda user, owner: value


operands: list[tuple[str, Any]] = [
    ("request.auth.userId", lambda user, owner: user),
    ("resource.auth.userId", lambda user, owner: owner),
    ("null", constant(None)),
    ("'u1'", constant("u1")),
    ('"u2"', constant("u2")),
]


def comparison(left: tuple[str, Any], operator: str, right: tuple[str, Any]) -> tuple[str, Meaning]:
    def meaning(user: str | None, owner: str | None) -> bool:
        return (left[1](user, owner) == right[1](user, owner)) is (operator == "==")

    return f"{left[0]} {operator} {right[0]}", meaning


def negated(inner: tuple[str, Meaning]) -> tuple[str, Meaning]:
    return f"!({inner[0]})", lambda user, owner: not inner[1](user, owner)


def joined(
    left: tuple[str, Meaning], operator: str, right: tuple[str, Meaning]
) -> tuple[str, Meaning]:
    def meaning(user: str | None, owner: str | None) -> bool:
        both = (left[1](user, owner), right[1](user, owner))
        return all(both) if operator == "&&" else any(both)

    return f"({left[0]}) {operator} ({right[0]})", meaning


comparisons = st.builds(
    comparison, st.sampled_from(operands), st.sampled_from(["==", "!="]), st.sampled_from(operands)
)
conditions = st.recursive(
    comparisons,
    lambda inner: (
        st.builds(negated, inner) | st.builds(joined, inner, st.sampled_from(["&&", "||"]), inner)
    ),
    max_leaves=5,
)
grants: st.SearchStrategy[tuple[Any, Meaning]] = (
    st.just((True, lambda user, owner: True))
    | st.just((False, lambda user, owner: False))
    | conditions
)
rules = st.dictionaries(st.sampled_from([".read", ".write", "*", ".odd"]), grants)
spaces = st.dictionaries(st.sampled_from(["posts", "users", "*"]), rules)


def reading_of_the_guide(
    space: Mapping[str, Mapping[str, tuple[Any, Meaning]]],
    collection: str,
    operation: str,
    user: str | None,
) -> list[bool]:
    """For each of OWNERS: whether `user` may reach a document of that owner."""
    steps = [("*", operation), ("*", "*")]
    if collection in space:
        steps = [(collection, operation), (collection, "*"), *steps]
    for level, key in steps:
        if level in space and key in space[level]:
            meaning = space[level][key][1]
            through = [meaning(user, owner) for owner in OWNERS]
            return through if user is not None or all(through) else [False] * len(OWNERS)
    return [False] * len(OWNERS)


def holds(condition: Mapping[str, Any], owner: str | None) -> bool:
    """The filter on a document of that owner, as the database sees it."""
    ((field, operators),) = condition.items()
    ((operator, value),) = operators.items()
    assert field == OWNER_FIELD
    if operator in {"$in", "$nin"}:
        return (owner in value) is (operator == "$in")
    assert operator in {"$eq", "$ne"}
    return (owner == value) is (operator == "$eq")


def through(decision: Decision) -> list[bool]:
    condition = decision.filter
    if condition is None:
        assert decision.allowed is not decision.refused
        return [decision.allowed] * len(OWNERS)
    assert not decision.allowed
    assert not decision.refused
    assert [owner in decision.owners for owner in OWNERS] == [holds(condition, o) for o in OWNERS]
    return [holds(condition, owner) for owner in OWNERS]


@settings(max_examples=300)
@given(
    spaces,
    st.sampled_from(["posts", "users", "others", "*"]),
    st.sampled_from(Operation),
    st.sampled_from(["u1", "u2", "u3", None]),
)
@example({}, "posts", Operation.READ, "u1")
def test_decides_as_the_guide_says(
    space: dict[str, dict[str, tuple[Any, Meaning]]],
    collection: str,
    operation: Operation,
    user: str | None,
) -> None:
    policies = {
        name: policy_of(
            PolicyName.EXTENDED, json.dumps({key: grant[0] for key, grant in rule.items()})
        )
        for name, rule in space.items()
    }
    decision = Rules.of(policies).decide(collection, operation, user)
    assert through(decision) == reading_of_the_guide(space, collection, operation, user)


def decide(policy: CollectionPolicy, operation: Operation, user: str | None = "u1") -> Decision:
    return Rules.of({"posts": policy}).decide("posts", operation, user)


@pytest.mark.parametrize(
    ("name", "read", "write"),
    [
        (PolicyName.PUBLICREAD, ALLOW, "own"),
        (PolicyName.PRIVATE, "own", "own"),
        (PolicyName.ADMINWRITEONLY, ALLOW, REFUSE),
        (PolicyName.ADMINREADWRITEONLY, REFUSE, REFUSE),
    ],
)
def test_presets(name: PolicyName, read: Decision | str, write: Decision | str) -> None:
    for operation, expected in ((Operation.READ, read), (Operation.WRITE, write)):
        decision = decide(policy_of(name), operation)
        if expected == "own":
            assert decision.filter == {OWNER_FIELD: {"$eq": "u1"}}
        else:
            assert decision == expected


def test_every_policy_but_extended_is_a_preset() -> None:
    assert set(PRESETS) == set(PolicyName) - {PolicyName.EXTENDED}


@pytest.mark.parametrize("nobody", [None, ""])
def test_nobody_owns_nothing(nobody: str | None) -> None:
    for condition in (OWN, "resource.auth.userId == null", "resource.auth.userId != 'u1'"):
        policy = policy_of(PolicyName.EXTENDED, json.dumps({"*": condition}))
        assert decide(policy, Operation.READ, nobody) == REFUSE
    open_to_nobody = policy_of(PolicyName.EXTENDED, '{"*": "request.auth.userId == null"}')
    assert decide(open_to_nobody, Operation.READ, nobody) == ALLOW


def test_own_text_is_kept_as_it_is() -> None:
    text = ' { ".odd": {"b": 1, "a": 2}, ".read" : true }\n'
    assert policy_of(PolicyName.EXTENDED, text).text == text


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_extended_needs_a_text(text: str | None) -> None:
    with pytest.raises(InvalidParameterError, match="rule of its own"):
        policy_of(PolicyName.EXTENDED, text)


def test_a_wrong_text_is_refused_when_written() -> None:
    with pytest.raises(RuleTextError, match="line 1, column 11"):
        policy_of(PolicyName.EXTENDED, '{".read": yes}')


def test_an_unreadable_stored_text_refuses_and_opens_no_wildcard() -> None:
    rules_of_space = Rules.of(
        {
            "posts": CollectionPolicy(name=PolicyName.EXTENDED, text='{".read": "new(syntax)"}'),
            "*": CollectionPolicy(name=PolicyName.EXTENDED, text='{"*": true}'),
        }
    )
    for operation in Operation:
        assert rules_of_space.decide("posts", operation, "u1") == REFUSE
        assert rules_of_space.decide("others", operation, "u1") == ALLOW


def test_reads_are_named_and_the_rest_writes() -> None:
    reads = {verb for verb in Verb if operation_of(verb) is Operation.READ}
    assert reads == {Verb.FIND, Verb.FIND_ONE, Verb.COUNT, Verb.DISTINCT, Verb.AGGREGATE}
    assert all(operation_of(verb) is Operation.WRITE for verb in ADMINISTRATION)
