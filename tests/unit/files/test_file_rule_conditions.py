from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.files.rule_condition import holds
from runtime.files.rule_expression import (
    EXPRESSION_MAX_CHARACTERS,
    EXPRESSION_MAX_DEPTH,
    parse_expression,
)
from runtime.rule_json import RulePartError

Q, R = "request.auth.userId", "resource.auth.userId"


def answer(text: str, user_id: str | None = "u1", owner_id: str | None = "u1") -> bool:
    return holds(parse_expression(text), user_id=user_id, owner_id=owner_id)


@pytest.mark.parametrize(
    ("user_id", "owner_id", "owns"),
    [
        ("u1", "u1", True),
        ("u1", "u2", False),
        ("u1", None, False),
        (None, "u1", False),
        # nobody owns what nobody uploaded
        (None, None, False),
        ("", "", False),
        ("", None, False),
    ],
)
def test_owners(user_id: str | None, owner_id: str | None, owns: bool) -> None:
    assert answer(f"{Q} == {R}", user_id, owner_id) is owns
    assert answer(f"{R}=={Q}", user_id, owner_id) is owns
    assert answer(f"{Q} != {R}", user_id, owner_id) is not owns
    assert answer(f"!({Q} == {R})", user_id, owner_id) is not owns
    assert answer(f"{Q} == {Q}", user_id, owner_id) is bool(user_id)


@pytest.mark.parametrize(
    ("text", "held"),
    [
        (f"{Q} == 'u1'", True),
        (f'{Q} == "u2"', False),
        (f"{Q} == 'U1'", False),
        (f"{Q} != null", True),
        (f"{Q} == null", False),
        ("null == null", True),
        (Q, True),
        (f"!{Q}", False),
        (f"!!{Q}", True),
        # no coercion
        ("1 == '1'", False),
        ("1 != '1'", True),
        ("0 == null", False),
        ("'' == null", False),
        ("1 == 1.0", True),
        ("-0 == 0", True),
        ("1e3 >= 1000", True),
        ("0.1 < 0.2", True),
        ("2 > 2", False),
        ("2 <= 2", True),
        ("9007199254740993 == 9007199254740992", True),
        ("1e999 > 1e308", True),
        # ordering is for numbers
        ("'a' < 'b'", False),
        ("'a' >= 'a'", False),
        ("1 < '2'", False),
        (f"{Q} > 0", False),
        (f"!({Q} > 0)", True),
        ("null <= 0", False),
        # as in JavaScript: '' and 0 are nothing
        ("!''", True),
        ("!'0'", False),
        ("!0", True),
        ("!-1.5", False),
        ("!null", True),
        # && before ||
        ("1 == 1 || 1 == 1 && 1 == 2", True),
        ("(1 == 1 || 1 == 1) && 1 == 2", False),
        (f"{Q} && {R}", True),
        (f"({Q}) == (({R}))", True),
        (f"\t{Q}\r\n=={R} ", True),
    ],
)
def test_values(text: str, held: bool) -> None:
    assert answer(text) is held


@pytest.mark.parametrize("text", [Q, R, f"{Q} == ''", f"{Q} == 0", f"{Q} <= {R}", f"{Q} == {R}"])
def test_an_absent_id_is_null_and_nothing_else(text: str) -> None:
    assert answer(text, None, None) is False
    assert answer(f"{Q} == null && null == {R}", None, None) is True


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("", 0, "here is the end"),
        ("  ", 2, "here is the end"),
        ("true", 0, "without quotes"),
        ("false || 1 == 1", 0, "without quotes"),
        ("'true'", 0, "always the same"),
        ("1", 0, "always the same"),
        ("  null", 2, "always the same"),
        (f"{Q} || 1", 23, "always the same"),
        (f"{Q} = {R}", 20, "cannot stand here"),
        (f"{Q} === {R}", 22, "two characters"),
        (f"{Q} !== {R}", 22, "two characters"),
        (f"{Q} == ", 23, "here is the end"),
        (f"{Q} {R}", 20, "expected is the end"),
        (f"!{Q} == {R}", 0, "negate one"),
        ("1 < 2 < 3", 6, "expected is the end"),
        ("1 == 2 == 3", 7, "expected is the end"),
        ("(1 == 1) == (2 == 2)", 0, "comparisons are between"),
        ("1 == (2 == 2)", 5, "comparisons are between"),
        ("(1 == 1", 7, r"expected is \)"),
        ("1 == 1)", 6, "expected is the end"),
        ("()", 1, "a user id"),
        ("1 == 1 & 2 == 2", 7, "cannot stand here"),
        ("1 + 1 == 2", 2, "cannot stand here"),
        ("01 == 1", 0, "cannot stand here"),
        ("0x10 == 16", 0, "cannot stand here"),
        (".5 < 1", 0, "cannot stand here"),
        ("1. < 2", 0, "cannot stand here"),
        ("1n == 1", 0, "cannot stand here"),
        ("'a", 0, "cannot stand here"),
        (r"'a\'' == 'a'", 0, "cannot stand here"),
        ("`a` == 'a'", 0, "cannot stand here"),
        (f"{Q}.length > 0", 0, "unknown"),
        ("request.auth == 1", 0, "unknown"),
        ("request['auth'].userId == 'a'", 7, "cannot stand here"),
        ("auth.uid == 'a'", 0, "unknown"),
        ("__import__('os')", 0, "unknown"),
        ("undefined == null", 0, "unknown"),
        ("request.auth.userid == 'a'", 0, "unknown"),
        ("\uff11 == 1", 0, "cannot stand here"),
        ("1\u00a0== 1", 1, "cannot stand here"),
    ],
)
def test_what_is_no_condition(text: str, at: int, message: str) -> None:
    with pytest.raises(RulePartError, match=message) as refused:
        parse_expression(text)
    assert refused.value.at == at


def test_bounds() -> None:
    deep = EXPRESSION_MAX_DEPTH
    assert answer("(" * deep + "1 == 1" + ")" * deep)
    assert answer("!" * deep + "0") is (deep % 2 == 1)
    for text in ("(" * (deep + 1) + "1 == 1" + ")" * (deep + 1), "!" * (deep + 1) + "0"):
        with pytest.raises(RulePartError, match="20 deep") as refused:
            parse_expression(text)
        assert refused.value.at == deep
    long = " && ".join(["1==1"] * 125)[: EXPRESSION_MAX_CHARACTERS - 4]
    assert answer(long[: long.rindex(" && ")])
    with pytest.raises(RulePartError, match="at most 1000"):
        parse_expression(" " * EXPRESSION_MAX_CHARACTERS + "!")


# --- against a plain model ----------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    """`sign` over one or two others; a leaf is text."""

    sign: str
    parts: tuple[Node | str, ...]


USERS = [None, "", "u1", "u2"]
operands = st.sampled_from([Q, R, "'u1'", '"u2"', "''", "0", "1", "-2.5", "1e2", "null"])
comparisons = st.builds(
    lambda sign, left, right: Node(sign, (left, right)),
    st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
    operands,
    operands,
)
conditions = st.recursive(
    comparisons | st.sampled_from([Q, R]).map(lambda name: Node("given", (name,))),
    lambda inner: (
        inner.map(lambda one: Node("!", (one,)))
        | st.tuples(inner, inner).map(lambda two: Node("&&", two))
        | st.tuples(inner, inner).map(lambda two: Node("||", two))
    ),
    max_leaves=8,
)
RANK = {"||": 0, "&&": 1, "==": 2, "!=": 2, "<": 2, "<=": 2, ">": 2, ">=": 2, "!": 3, "given": 3}


def written(node: Node | str, space: str) -> str:
    """With as few parentheses as JavaScript needs."""
    if isinstance(node, str):
        return node
    if node.sign == "given":
        return written(node.parts[0], space)
    texts = [
        f"({written(part, space)})"
        if isinstance(part, Node) and RANK[part.sign] < RANK[node.sign]
        else written(part, space)
        for part in node.parts
    ]
    return f"!{texts[0]}" if node.sign == "!" else f"{space}{node.sign}{space}".join(texts)


def modelled(node: Node, ids: dict[str, str | None]) -> bool:
    parts = node.parts
    if node.sign in {"&&", "||", "!"}:
        found = [modelled(part, ids) for part in parts if isinstance(part, Node)]
        return {"&&": all(found), "||": any(found), "!": not found[0]}[node.sign]
    kinds, values = [], []
    for part in parts:
        assert isinstance(part, str)
        if part in ids:
            kinds.append("text" if ids[part] else "nobody")
            values.append(ids[part])
        else:
            kind = "null" if part == "null" else "text" if part[0] in "'\"" else "number"
            kinds.append(kind)
            values.append({"null": "", "text": part[1:-1], "number": part}[kind])
    if node.sign == "given":
        return kinds[0] == "text"
    if node.sign in {"==", "!="}:
        if kinds[0] != kinds[1]:
            same = {*kinds} == {"nobody", "null"}
        elif kinds[0] == "number":
            same = float(values[0] or "") == float(values[1] or "")
        else:
            same = kinds[0] != "nobody" and values[0] == values[1]
        return same is (node.sign == "==")
    if kinds != ["number", "number"]:
        return False
    left, right = (float(value or "") for value in values)
    less, equal = left < right, left == right
    return {"<": less, "<=": less or equal, ">": not less and not equal, ">=": not less}[node.sign]


@given(conditions, st.sampled_from(USERS), st.sampled_from(USERS), st.sampled_from(["", " "]))
def test_as_the_model_has_it(
    node: Node, user_id: str | None, owner_id: str | None, space: str
) -> None:
    expected = modelled(node, {Q: user_id, R: owner_id})
    assert answer(written(node, space), user_id, owner_id) is expected
