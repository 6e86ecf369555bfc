"""The text of a condition of a file rule -> the condition, or what is wrong and where. Pure.

    condition   = conjunction { "||" conjunction }
    conjunction = comparison { "&&" comparison }
    comparison  = unary [ ( "==" | "!=" | "<" | "<=" | ">" | ">=" ) unary ]
    unary       = "!" unary | "(" condition ")" | operand
    operand     = request.auth.userId | resource.auth.userId | null | number | 'text' | "text"

Comparisons take operands, not conditions: `!a == b`, which in JavaScript compares `!a`, is refused. A
literal alone is a condition behind `!` only, elsewhere it is a slip. Texts have no escapes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from runtime.files.rule_condition import (
    COMPARISONS,
    Comparison,
    Condition,
    Conjunction,
    Disjunction,
    Given,
    Literal,
    Negation,
    Operand,
    UserId,
)
from runtime.rule_json import RulePartError

EXPRESSION_MAX_CHARACTERS = 1000
EXPRESSION_MAX_DEPTH = 20
"""Of parentheses and `!` within each other."""

_SPACE = re.compile(r"[ \t\r\n]*")
_TOKEN = re.compile(
    r"""(?P<sign>[=!<>]=|&&|\|\||[!<>()])"""
    r"""|(?P<name>[A-Za-z_$][A-Za-z0-9_$.]*)"""
    r"""|(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_$.]))"""
    r"""|(?P<text>'[^'\\]*'|"[^"\\]*")"""
)


@dataclass(frozen=True, slots=True)
class _Token:
    at: int
    kind: str
    text: str


def parse_expression(text: str) -> Condition:
    """Raises RulePartError."""
    if len(text) > EXPRESSION_MAX_CHARACTERS:
        raise RulePartError(
            EXPRESSION_MAX_CHARACTERS,
            f"a condition has at most {EXPRESSION_MAX_CHARACTERS} characters, this one {len(text)}",
        )
    return _Parser([*_tokens(text), _Token(len(text), "end", "")]).whole()


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = _after_space(text, 0)
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise RulePartError(at, f"{text[at : at + 12]!r} cannot stand here")
        if found.group() in {"==", "!="} and text.startswith("=", found.end()):
            raise RulePartError(found.end(), "== and != have two characters")
        tokens.append(_Token(at, found.lastgroup or "", found.group()))
        at = _after_space(text, found.end())
    return tokens


def _after_space(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]


class _Parser:
    """Recursive descent; what a method returns was read."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    def whole(self) -> Condition:
        at = self._peek.at
        condition = self._condition(self._disjunction(), at)
        if self._peek.kind != "end":
            raise self._unexpected("the end, && or ||")
        return condition

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._peek
        self._next += 1
        return token

    def _takes(self, sign: str) -> bool:
        taken = self._peek.kind == "sign" and self._peek.text == sign
        self._next += taken
        return taken

    def _disjunction(self) -> Condition | Operand:
        at = self._peek.at
        first = self._conjunction()
        parts: list[Condition] = []
        while self._takes("||"):
            parts = parts or [self._condition(first, at)]
            at = self._peek.at
            parts.append(self._condition(self._conjunction(), at))
        return Disjunction(tuple(parts)) if parts else first

    def _conjunction(self) -> Condition | Operand:
        at = self._peek.at
        first = self._comparison()
        parts: list[Condition] = []
        while self._takes("&&"):
            parts = parts or [self._condition(first, at)]
            at = self._peek.at
            parts.append(self._condition(self._comparison(), at))
        return Conjunction(tuple(parts)) if parts else first

    def _comparison(self) -> Condition | Operand:
        at = self._peek.at
        left = self._unary()
        if self._peek.kind != "sign" or self._peek.text not in COMPARISONS:
            return left
        sign = self._take().text
        right_at = self._peek.at
        return Comparison(sign, self._operand(left, at), self._operand(self._unary(), right_at))

    def _unary(self) -> Condition | Operand:
        at = self._peek.at
        negated = self._takes("!")
        if not negated and not self._takes("("):
            return self._name_or_literal()
        self._depth += 1
        if self._depth > EXPRESSION_MAX_DEPTH:
            raise RulePartError(at, f"parentheses and ! nest at most {EXPRESSION_MAX_DEPTH} deep")
        inner = self._unary() if negated else self._disjunction()
        self._depth -= 1
        if negated:
            return Negation(Given(inner) if isinstance(inner, UserId | Literal) else inner)
        if not self._takes(")"):
            raise self._unexpected(")")
        return inner

    def _name_or_literal(self) -> Operand:
        token = self._peek
        if token.kind in {"sign", "end"}:
            raise self._unexpected("a user id, a text, a number or null")
        self._take()
        if token.kind == "text":
            return Literal(token.text[1:-1])
        if token.kind == "number":
            return Literal(float(token.text))
        if token.text == "null":
            return Literal(None)
        if token.text in {UserId.REQUEST, UserId.RESOURCE}:
            return UserId(token.text)
        raise RulePartError(
            token.at,
            f"{token.text[:40]!r} is unknown: there are {UserId.REQUEST}, {UserId.RESOURCE}, null, numbers"
            " and texts in quotes; true and false stand alone, without quotes",
        )

    def _unexpected(self, wanted: str) -> RulePartError:
        found = repr(self._peek.text[:40]) if self._peek.text else "the end"
        return RulePartError(self._peek.at, f"here is {found}, expected is {wanted}")

    @staticmethod
    def _condition(parsed: Condition | Operand, at: int) -> Condition:
        if isinstance(parsed, UserId):
            return Given(parsed)
        if isinstance(parsed, Literal):
            raise RulePartError(
                at,
                "a text, number or null alone is always the same: compare it, or write true or false",
            )
        return parsed

    @staticmethod
    def _operand(parsed: Condition | Operand, at: int) -> Operand:
        if isinstance(parsed, UserId | Literal):
            return parsed
        raise RulePartError(
            at,
            "comparisons are between user ids, texts, numbers and null; negate one as in !(a == b)",
        )
