from __future__ import annotations

import pytest

from runtime.documents.expressions import (
    EVERYBODY,
    EXPRESSION_MAX_CHARACTERS,
    EXPRESSION_MAX_DEPTH,
    NOBODY,
    ExpressionError,
    Owners,
    owners_let_through,
    parse_expression,
)

ME = Owners(frozenset({"me"}))
REQUEST, RESOURCE = "request.auth.userId", "resource.auth.userId"
OWN = f"{REQUEST}=={RESOURCE}"


@pytest.mark.parametrize(
    ("text", "owners"),
    [
        (OWN, ME),
        (f" {RESOURCE}\n==\t{REQUEST} ", ME),
        (f"{REQUEST} != {RESOURCE}", ~ME),
        (f"!({OWN})", ~ME),
        (f"!!({OWN})", ME),
        (f"{REQUEST} == 'me'", EVERYBODY),
        (f'{REQUEST} == "you"', NOBODY),
        (f"{REQUEST} != null", EVERYBODY),
        (f"{RESOURCE} == null", Owners(frozenset({None}))),
        (f"{RESOURCE} == {RESOURCE}", EVERYBODY),
        ("'a' == 'a'", EVERYBODY),
        ("null == ''", NOBODY),
        (f"{OWN} || {RESOURCE} == null", Owners(frozenset({"me", None}))),
        (f"{RESOURCE} != 'a' && {RESOURCE} != 'b'", Owners(frozenset({"a", "b"}), but=True)),
        (f"{RESOURCE} != 'a' && {OWN}", ME),
        (f"{RESOURCE} != 'me' && {OWN}", NOBODY),
        (f"{OWN} || 'a'=='b' && 'a'=='c'", ME),
        (f"({OWN} || 'a'=='a') && 'a'=='c'", NOBODY),
        (f"(({REQUEST})) == ({RESOURCE})", ME),
    ],
)
def test_whose_documents(text: str, owners: Owners) -> None:
    assert owners_let_through(parse_expression(text), "me") == owners


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("", 0, "the end"),
        ("   ", 3, "the end"),
        (REQUEST, 0, "alone is no condition"),
        ("true", 0, "unknown"),
        ("resource.data.x == null", 0, "unknown"),
        ("request.auth.userid == null", 0, "unknown"),
        (f"{REQUEST} = {RESOURCE}", 20, "cannot stand here"),
        (f"{REQUEST} === {RESOURCE}", 22, "two characters"),
        (f"{REQUEST} == ", 23, "the end"),
        (f"{OWN} {OWN}", 42, "expected is the end"),
        (f"{OWN} & {OWN}", 42, "cannot stand here"),
        (f"({OWN}", 42, r"expected is \)"),
        (f"{OWN})", 41, "expected is the end"),
        (f"!{REQUEST} == null", 1, "alone is no condition"),
        (f"{OWN} == null", 42, "expected is the end"),
        (f"({OWN}) == null", 0, "not conditions"),
        (f"null == ({OWN})", 8, "not conditions"),
        (f"{OWN} && 'a'", 45, "alone is no condition"),
        (f"'a' || {OWN}", 0, "alone is no condition"),
        ("'a' == 'b", 7, "cannot stand here"),
        (r"'a\'' == 'b'", 0, "cannot stand here"),
        ("'a' == 1", 7, "cannot stand here"),
        ("'a' == 'a'; drop", 10, "cannot stand here"),
        ("__import__('os')", 0, "unknown"),
        ("'a' == 'a'\0", 10, "cannot stand here"),
        ("'a'\u00a0== 'a'", 3, "cannot stand here"),
    ],
)
def test_where_it_is_wrong(text: str, at: int, message: str) -> None:
    with pytest.raises(ExpressionError, match=message) as refused:
        parse_expression(text)
    assert refused.value.at == at


def test_depth_and_length_are_bounded() -> None:
    deep = EXPRESSION_MAX_DEPTH
    assert parse_expression("(" * deep + "'a'=='a'" + ")" * deep)
    with pytest.raises(ExpressionError, match="nest at most") as refused:
        parse_expression("!" * (deep + 1) + "('a'=='a')")
    assert refused.value.at == deep
    with pytest.raises(ExpressionError, match="at most 1000 characters"):
        parse_expression("(" * (EXPRESSION_MAX_CHARACTERS + 1))
