"""Rule documents, scopes and conditions that nobody would write: taken or refused, and nothing else."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import TypeVar

import pytest

from runtime.errors import InvalidParameterError
from runtime.files.rule_condition import holds
from runtime.files.rule_expression import parse_expression
from runtime.files.rule_scope import scope_of
from runtime.files.rule_text import FILE_RULES_MAX_COST, parse_file_rules
from runtime.files.rules import FileRules, Operation
from runtime.rule_json import RulePartError

T = TypeVar("T")

CASES = 3000
"""Of each kind."""
PATHS = ["a", "a/b.png", "云/😀.jpg", "ab" * 511, "é" * 511, "/", ""]

EXPRESSION_PIECES = [
    *["request.auth.userId", "resource.auth.userId", "==", "!=", "'u1'", "1"] * 3,
    *["null", ">", ">=", "<", "<=", "!", "(", ")", "&&", "||", " ", '"x"', "-2.5e3", "1e999"],
    *[
        "true",
        "=",
        "&",
        "'",
        '"',
        "\\",
        "request",
        ".",
        "0x1",
        "\n",
        "\0",
        "云",
        "\ud800",
        "[",
        "/*",
    ],
]
PATTERN_PIECES = [
    *["a", "b", ".", "/", "*", "+", "?", "|", "(", ")", "[", "]", "^", "$", "-", "{2}", "{1,3}"]
    * 2,
    *[
        "(?:",
        "(?=",
        "(?<n>",
        "(?i)",
        "[^",
        "{",
        "}",
        "{0,}",
        "{1000}",
        "{99999999999}",
        "{2,1}",
        ",",
    ],
    *[
        "\\d",
        "\\w",
        "\\s",
        "\\S",
        "\\b",
        "\\1",
        "\\0",
        "\\cA",
        "\\x41",
        "\\u4e91",
        "\\u{1}",
        "\\ud800",
    ],
    *[
        "\\p{L}",
        "\\.",
        "\\/",
        "\\",
        "é",
        "云",
        "😀",
        "\0",
        "\n",
        "\u2028",
        "K",
        "\u017f",
        "[[:alpha:]]",
    ],
]
DOCUMENT_PIECES = [
    *['{"file": {', "}", "}}", '"*"', ":", ",", "{", "true", "false", '".write"', '".read"'] * 2,
    *[
        '"/a.*/"',
        '"a/b"',
        '"request.auth.userId == resource.auth.userId"',
        '"1 <"',
        '"/(/"',
        "[",
        "]",
    ],
    *[
        "null",
        "1e999",
        '"',
        "\\",
        "\\u0000",
        '"\\ud800"',
        "\ud800",
        " ",
        "\n",
        "//",
        '{"file":',
        "NaN",
    ],
]


def joined(pieces: list[str], most: int) -> Callable[[random.Random], str]:
    return lambda dice: "".join(dice.choices(pieces, k=dice.randint(0, most)))


def condition(dice: random.Random) -> str:
    """Half of them by the grammar, so that deep and long ones are taken, too."""
    if dice.random() < 0.5:
        return joined(EXPRESSION_PIECES, dice.choice([3, 6, 12, 200]))(dice)
    left, right = dice.choices([*EXPRESSION_PIECES[:2], "'u1'", "null", "0", "-1.5"], k=2)
    text = f"{left} {dice.choice(['==', '!=', '<', '>=', '&&', '||'])} {right}"
    for _ in range(dice.randint(0, 24)):
        text = dice.choice(
            [f"({text})", f"!({text})", f"{text} && {text}"[:1100], f"{text} || 1 < 2"]
        )
    return text


def document(dice: random.Random) -> str:
    if dice.random() < 0.4:
        return joined(DOCUMENT_PIECES, 30)(dice)
    scope = joined(PATTERN_PIECES, 8)
    files = {
        dice.choice(["*", f"/{scope(dice)}/", f"/{scope(dice)}/i", scope(dice), "a/b"]): {
            dice.choice([".read", ".write", "*", "*", ".x"]): dice.choice(
                [True, False, condition(dice), None, "request.auth.userId != null"]
            )
            for _ in range(dice.randint(0, 3))
        }
        for _ in range(dice.randint(0, 4))
    }
    text = json.dumps({"file": files}, ensure_ascii=dice.random() < 0.5)
    if dice.random() < 0.3:
        at = dice.randrange(len(text))
        text = text[:at] + dice.choice(["", "{", '"', "\\", "\x00", ",", "é"]) + text[at + 1 :]
    return text


def tried(read: Callable[[str], T], text: str) -> T | RulePartError | InvalidParameterError:
    try:
        return read(text)
    except (RulePartError, InvalidParameterError) as error:
        return error


@pytest.mark.parametrize("seed", [1, 2])
def test_conditions(seed: int) -> None:
    dice = random.Random(seed)
    taken = 0
    for _ in range(CASES):
        text = condition(dice)
        read = tried(parse_expression, text)
        if isinstance(read, RulePartError):
            assert 0 <= read.at <= len(text)
            continue
        assert not isinstance(read, InvalidParameterError)
        for user_id, owner_id in ((None, None), ("u1", None), ("u1", "u1")):
            assert holds(read, user_id=user_id, owner_id=owner_id) in {True, False}
        taken += 1
    assert CASES / 10 < taken < CASES * 9 / 10


@pytest.mark.parametrize("seed", [1, 2])
def test_scopes(seed: int) -> None:
    dice = random.Random(seed)
    piece = joined(PATTERN_PIECES, 10)
    taken = 0
    for _ in range(CASES):
        text = piece(dice)
        if dice.random() < 0.9:
            text = f"/{text}/{dice.choice(['', '', 'i', 'g'])}"
        scope = tried(scope_of, text)
        if isinstance(scope, RulePartError):
            assert 0 <= scope.at <= len(text)
            assert "\ud800" not in scope.message
            continue
        assert not isinstance(scope, InvalidParameterError)
        for path in PATHS:
            assert scope.covers(path) in {True, False}
        taken += 1
    assert CASES / 10 < taken < CASES * 9 / 10


@pytest.mark.parametrize("seed", [1, 2])
def test_documents(seed: int) -> None:
    dice = random.Random(seed)
    taken = 0
    for _ in range(CASES):
        text = document(dice)
        read = tried(parse_file_rules, text)
        rules = FileRules.of(text)
        if isinstance(read, InvalidParameterError):
            assert read.message.startswith("line ")
            allowed = rules.may("a", Operation.READ, user_id="u1", owner_id="u1")
            assert allowed is not bool(text.strip())
            continue
        assert not isinstance(read, RulePartError)
        assert sum(rule.scope.cost for rule in read) <= FILE_RULES_MAX_COST
        for path in PATHS:
            reads = rules.may(path, Operation.READ, user_id="u1", owner_id=None)
            assert rules.may(path, Operation.WRITE, user_id=None, owner_id=None) in {
                True,
                False,
            }
            assert reads or not rules.is_public(path)
        taken += 1
    assert CASES / 10 < taken < CASES * 9 / 10
