from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.files.rule_text import (
    FILE_RULES_MAX,
    FILE_RULES_MAX_CHARACTERS,
    FILE_RULES_MAX_COST,
    parse_file_rules,
)
from runtime.files.rules import DEFAULT_FILE_RULES, FileRules, Operation, check_file_rules
from runtime.rule_json import RuleTextError

READ, WRITE = Operation.READ, Operation.WRITE
OWNER = "request.auth.userId == resource.auth.userId"

GUIDE = r"""{
    "file": {
        "/.*\\.png/": {
            ".write": "request.auth.userId == resource.auth.userId",
            "*": true
        },
        "xxx/yyy/zzz.jpg": {
               "*": "request.auth.userId == resource.auth.userId"
        },
        "*": {
               "*": true
        }
    }
}"""


def rights(rules: FileRules, path: str, user_id: str | None, owner_id: str | None) -> str:
    """Those that are given: r, w, and p for a public file."""
    read = rules.may(path, READ, user_id=user_id, owner_id=owner_id)
    write = rules.may(path, WRITE, user_id=user_id, owner_id=owner_id)
    return "r" * read + "w" * write + "p" * rules.is_public(path)


def of(files: dict[str, Any]) -> FileRules:
    text = json.dumps({"file": files}, ensure_ascii=False)
    check_file_rules(text)
    return FileRules.of(text)


@pytest.mark.parametrize(
    ("path", "owner", "stranger", "nobody"),
    [
        ("a.png", "rwp", "rp", "rp"),
        ("xxx/yyy/zzz.png", "rwp", "rp", "rp"),
        ("xxx/yyy/zzz.jpg", "rw", "", ""),
        ("xxx/yyy/zzz.jpg2", "rwp", "rwp", "rwp"),
    ],
)
def test_the_example_of_the_guide(path: str, owner: str, stranger: str, nobody: str) -> None:
    check_file_rules(GUIDE)
    rules = FileRules.of(GUIDE)
    assert rights(rules, path, "u1", "u1") == owner
    assert rights(rules, path, "u2", "u1") == stranger
    assert rights(rules, path, None, None) == nobody


@pytest.mark.parametrize("text", ["", " \n", DEFAULT_FILE_RULES])
def test_without_a_document_everybody_reads_and_owners_write(text: str) -> None:
    rules = FileRules.of(text)
    check_file_rules(DEFAULT_FILE_RULES)
    assert rights(rules, "a", "u1", "u1") == "rwp"
    assert rights(rules, "a", "u2", "u1") == "rp"
    assert rights(rules, "a", "u2", None) == "rp"
    assert rights(rules, "a", None, None) == "rp"


def test_what_nothing_is_said_about_is_read_and_not_written() -> None:
    assert rights(of({}), "a", "u1", "u1") == "rp"
    rules = of({"a": {".write": True}, "b": {".read": False}, "c": {}})
    assert rights(rules, "a", None, None) == "rwp"
    assert rights(rules, "b", "u1", "u1") == ""
    assert rights(rules, "c", "u1", "u1") == "rp"
    assert rights(rules, "d", "u1", "u1") == "rp"


def test_the_first_rule_that_covers_a_path_decides_alone() -> None:
    rules = of({"/^a/": {".read": False}, "ab": {".write": True}, "*": {"*": True}})
    assert rights(rules, "ab", "u1", "u1") == ""
    assert rights(rules, "b", "u1", "u1") == "rwp"
    rules = of({"*": {"*": True}, "ab": {"*": False}})
    assert rights(rules, "ab", None, None) == "rwp"


def test_a_condition_that_always_holds_is_not_public() -> None:
    rules = of({"a": {".read": "1 == 1"}, "b": {"*": "1 == 1"}, "c": {".read": True, "*": False}})
    assert rights(rules, "a", None, None) == "r"
    assert rights(rules, "b", None, None) == "rw"
    assert rights(rules, "c", None, None) == "rp"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "null",
        '{"file": {"*": {"*": true}, "/(?=a)/": {"*": true}}}',
        '{"file": {"*": {"*": true, ".later": 1}}}',
        '{"file": {"*": {"*": true}}, "db": {}}',
        '{"file": {"*": {"*": true}}} ' + " " * FILE_RULES_MAX_CHARACTERS,
        "\ud800",
    ],
    ids=lambda text: ascii(text)[:40],
)
def test_an_unreadable_document_refuses_everything(text: str) -> None:
    rules = FileRules.of(text)
    assert rights(rules, "a", "u1", "u1") == ""
    assert rights(rules, "a", None, None) == ""


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("", [(1, 1)]),
        ("[]", [(1, 1)]),
        ("{}", [(1, 1)]),
        ('{"file": []}', [(1, 10)]),
        ('{"file": {}, "db": {}}', [(1, 14)]),
        ('{"*": {"*": true}}', [(1, 1), (1, 2)]),
        ('{"file": {}, "file": {"*": {"*": true}}}', [(1, 14)]),
        ('{"file": {"a": {}, "a": {}}}', [(1, 20)]),
        ('{"file": {"a": {".read": true, "\\u002eread": false}}}', [(1, 32)]),
        ('{"file": {"a": true}}', [(1, 16)]),
        ('{"file": {"a": {".raed": true}}}', [(1, 17)]),
        ('{"file": {"a": {".read": null}}}', [(1, 26)]),
        ('{"file": {"a": {".read": 1}}}', [(1, 26)]),
        ('{"file": {"a": {".read": {"*": true}}}}', [(1, 26)]),
        ('{"file": {"a": {".read": "true"}}}', [(1, 27)]),
        ('{"file": {"a//b": {}}}', [(1, 12)]),
        ('{"file": {\n "/a\\\\.(?!b)/": {},\n "c": {"*": "1 == "}}}', [(2, 8), (3, 19)]),
        ('{"file": {"a": {"*": true}}} // all', [(1, 30)]),
    ],
)
def test_every_fault_has_its_place(text: str, places: list[tuple[int, int]]) -> None:
    with pytest.raises(RuleTextError) as refused:
        check_file_rules(text)
    assert [(fault.place.line, fault.place.column) for fault in refused.value.faults] == places
    assert refused.value.code == "InvalidParameter.Policy"


def test_bounds() -> None:
    many = {f"f{number}": {"*": True} for number in range(FILE_RULES_MAX)}
    of(many)
    with pytest.raises(RuleTextError, match="at most 100 rules, here are 101"):
        of({**many, "*": {"*": True}})
    with pytest.raises(RuleTextError, match="at most 50000 characters"):
        of({"*": {".read": " " * FILE_RULES_MAX_CHARACTERS}})


def test_all_expressions_together_have_a_bound() -> None:
    files = {f"/{letter}{{70}}$/": {"*": True} for letter in "abcdefg"}
    with pytest.raises(RuleTextError, match="too much time") as refused:
        of(files)
    assert [fault.place.line for fault in refused.value.faults] == [1]
    kept = dict(list(files.items())[:6])
    of(kept)
    rules = parse_file_rules(json.dumps({"file": kept}))
    assert sum(rule.scope.cost for rule in rules) <= FILE_RULES_MAX_COST


def test_usual_documents_are_far_from_the_bound() -> None:
    usual = [
        *(
            r"/^avatars\/.*\.png$/",
            r"/\.(exe|bat|com|sh|php|html?)$/i",
            r"/^users\/[0-9a-f]{24}\//",
        ),
        *(r"/(^|\/)\./", r"/^[a-z0-9_-]+\/20\d\d-\d\d\/.*\.(jpe?g|png|gif|webp)$/i", "/^tmp/"),
    ]
    rules = parse_file_rules(json.dumps({"file": {each: {"*": True} for each in usual}}))
    assert 0 < sum(rule.scope.cost for rule in rules) < FILE_RULES_MAX_COST // 2


# --- against a plain model ----------------------------------------------------------------------

# Expressions of which Python and JavaScript mean the same, over these paths.
SCOPES = [
    "*",
    "a",
    "a/b",
    "b.a",
    r"/a/",
    r"/^a/",
    r"/b$/",
    r"/\./",
    "/^(a|b)$/",
    r"/a[^a]b/",
    "/B/i",
]
PATHS = ["a", "b", "aa", "a/b", "b.a", "a.b", "B"]
CONDITIONS: dict[str, Callable[[str | None, str | None], bool]] = {
    OWNER: lambda user, owner: user is not None and user == owner,
    "request.auth.userId != null": lambda user, _: user is not None,
    "resource.auth.userId == 'u2'": lambda _, owner: owner == "u2",
    "!(request.auth.userId == 'u1')": lambda user, _: user != "u1",
}
grants = st.booleans() | st.sampled_from(list(CONDITIONS))
documents = st.lists(
    st.tuples(
        st.sampled_from(SCOPES),
        st.dictionaries(st.sampled_from([".read", ".write", "*"]), grants),
    ),
    max_size=5,
    unique_by=lambda rule: rule[0],
)


def is_for(scope: str, path: str) -> bool:
    if scope.startswith("/"):
        _, source, flags = re.fullmatch(r"(/)(.*)/(i?)", scope).groups()  # type: ignore[union-attr]
        return re.search(source, path, re.IGNORECASE if flags else 0) is not None
    return scope in {"*", path}


@given(documents)
def test_as_the_model_has_it(document: list[tuple[str, dict[str, Any]]]) -> None:
    rules = of(dict(document))
    users = [None, "u1", "u2"]
    for path, operation, user, owner in product(PATHS, (READ, WRITE), users, users):
        fitting = [rule for scope, rule in document if is_for(scope, path)]
        said = fitting[0] if fitting else {}
        grant = said.get(operation.value, said.get("*", operation is READ))
        expected = grant if isinstance(grant, bool) else CONDITIONS[grant](user, owner)
        assert rules.may(path, operation, user_id=user, owner_id=owner) is expected
        if operation is READ:
            assert rules.is_public(path) is (grant is True)
