"""Conditions of access rules: a text over two user ids -> whose documents it lets through. Pure.

    condition  = conjunction { "||" conjunction }
    conjunction = equality { "&&" equality }
    equality   = unary [ ( "==" | "!=" ) unary ]
    unary      = "!" unary | "(" condition ")" | operand
    operand    = request.auth.userId | resource.auth.userId | null | 'text' | "text"

`!`, `&&` and `||` take conditions, `==` and `!=` take operands; nothing else is a condition. Texts have no
escapes. The only unknown of a condition is the owner of a document, so its value is a set of owners.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

EXPRESSION_MAX_CHARACTERS = 1000
EXPRESSION_MAX_DEPTH = 20
"""Of parentheses and `!` within each other."""

REQUEST_USER = "request.auth.userId"
RESOURCE_OWNER = "resource.auth.userId"


class ExpressionError(ValueError):
    """`at` counts characters from 0."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at
        self.message = message


@dataclass(frozen=True, slots=True)
class Owners:
    """The named owners, or with `but` everybody but them; None is the owner of documents without one."""

    named: frozenset[str | None]
    but: bool = False

    def __contains__(self, owner: object) -> bool:
        return (owner in self.named) is not self.but

    def __invert__(self) -> Owners:
        return Owners(self.named, not self.but)

    def __and__(self, other: Owners) -> Owners:
        if self.but and other.but:
            return Owners(self.named | other.named, but=True)
        if self.but:
            return Owners(other.named - self.named)
        return Owners(self.named - other.named if other.but else self.named & other.named)

    def __or__(self, other: Owners) -> Owners:
        return ~(~self & ~other)


NOBODY = Owners(frozenset())
EVERYBODY = ~NOBODY


@dataclass(frozen=True, slots=True)
class Name:
    """One of the two user ids."""

    text: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, or null."""

    value: str | None


Operand = Name | Literal


@dataclass(frozen=True, slots=True)
class Equal:
    """`==`."""

    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class Negation:
    """`!`, and `!=` of an `Equal`."""

    of: Condition


@dataclass(frozen=True, slots=True)
class Conjunction:
    """`&&`."""

    of: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Disjunction:
    """`||`."""

    of: tuple[Condition, ...]


Condition = Equal | Negation | Conjunction | Disjunction


def owners_let_through(condition: Condition, user_id: str | None) -> Owners:
    """Whose documents fulfil the condition when `user_id` asks (None: nobody is known)."""
    match condition:
        case Negation(of=inner):
            return ~owners_let_through(inner, user_id)
        case Conjunction(of=parts):
            owners = EVERYBODY
            for part in parts:
                owners &= owners_let_through(part, user_id)
            return owners
        case Disjunction(of=parts):
            owners = NOBODY
            for part in parts:
                owners |= owners_let_through(part, user_id)
            return owners
        case Equal(left=left, right=right):
            return _equal(left, right, user_id)


def _equal(left: Operand, right: Operand, user_id: str | None) -> Owners:
    owner = Name(RESOURCE_OWNER)
    if left == right:
        return EVERYBODY
    if left == owner:
        return Owners(frozenset({_value(right, user_id)}))
    if right == owner:
        return Owners(frozenset({_value(left, user_id)}))
    return EVERYBODY if _value(left, user_id) == _value(right, user_id) else NOBODY


def _value(operand: Operand, user_id: str | None) -> str | None:
    """Of an operand that is not the owner."""
    return operand.value if isinstance(operand, Literal) else user_id


def parse_expression(text: str) -> Condition:
    """Raises ExpressionError, which says where."""
    if len(text) > EXPRESSION_MAX_CHARACTERS:
        raise ExpressionError(
            EXPRESSION_MAX_CHARACTERS,
            f"a condition has at most {EXPRESSION_MAX_CHARACTERS} characters, this one {len(text)}",
        )
    return _Parser(_tokens(text), len(text)).whole()


@dataclass(frozen=True, slots=True)
class _Token:
    at: int
    text: str


_TOKEN = re.compile(
    r"""[ \t\r\n]*(?:(==|!=|&&|\|\||[!()])|([A-Za-z_][A-Za-z0-9_.]*)|('[^'\\]*'|"[^"\\]*")|(\Z))"""
)
_OPERATORS = frozenset({"==", "!=", "&&", "||", "!", "(", ")"})


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while True:
        found = _TOKEN.match(text, at)
        if found is None:
            at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n"))
            raise ExpressionError(at, f"{_shown(text[at : at + 12])} cannot stand here")
        group = found.lastindex or 4
        if group == 4:
            return tokens
        if found.group(group) in {"==", "!="} and text[found.end() : found.end() + 1] == "=":
            raise ExpressionError(found.end(), "== and != have two characters")
        tokens.append(_Token(found.start(group), found.group(group)))
        at = found.end()


class _Parser:
    """Recursive descent; what a method returns was read."""

    def __init__(self, tokens: list[_Token], end: int) -> None:
        self._tokens = [*tokens, _Token(end, "")]
        self._next = 0
        self._depth = 0

    def whole(self) -> Condition:
        condition = self._condition(self._disjunction(), 0)
        if self._peek.text:
            raise self._unexpected("the end, && or ||")
        return condition

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._peek
        self._next += 1
        return token

    def _disjunction(self) -> Condition | Operand:
        at = self._peek.at
        first = self._conjunction()
        if self._peek.text != "||":
            return first
        parts = [self._condition(first, at)]
        while self._peek.text == "||":
            self._take()
            at = self._peek.at
            parts.append(self._condition(self._conjunction(), at))
        return Disjunction(tuple(parts))

    def _conjunction(self) -> Condition | Operand:
        at = self._peek.at
        first = self._equality()
        if self._peek.text != "&&":
            return first
        parts = [self._condition(first, at)]
        while self._peek.text == "&&":
            self._take()
            at = self._peek.at
            parts.append(self._condition(self._equality(), at))
        return Conjunction(tuple(parts))

    def _equality(self) -> Condition | Operand:
        at = self._peek.at
        left = self._unary()
        if self._peek.text not in {"==", "!="}:
            return left
        operator = self._take()
        right_at = self._peek.at
        equal = Equal(self._operand(left, at), self._operand(self._unary(), right_at))
        return equal if operator.text == "==" else Negation(equal)

    def _unary(self) -> Condition | Operand:
        token = self._peek
        if token.text not in {"!", "("}:
            return self._name_or_literal()
        self._take()
        self._depth += 1
        if self._depth > EXPRESSION_MAX_DEPTH:
            raise ExpressionError(
                token.at, f"parentheses and ! nest at most {EXPRESSION_MAX_DEPTH} deep"
            )
        at = self._peek.at
        inner: Condition | Operand
        if token.text == "!":
            inner = Negation(self._condition(self._unary(), at))
        else:
            inner = self._disjunction()
            if self._peek.text != ")":
                raise self._unexpected(")")
            self._take()
        self._depth -= 1
        return inner

    def _name_or_literal(self) -> Operand:
        token = self._peek
        if not token.text or token.text in _OPERATORS:
            raise self._unexpected("a user id, a text or null")
        self._take()
        if token.text[0] in "'\"":
            return Literal(token.text[1:-1])
        if token.text == "null":
            return Literal(None)
        if token.text in {REQUEST_USER, RESOURCE_OWNER}:
            return Name(token.text)
        raise ExpressionError(
            token.at,
            f"{_shown(token.text)} is unknown: there are {REQUEST_USER}, {RESOURCE_OWNER}, null and"
            " texts in quotes; true and false stand alone, without quotes",
        )

    def _unexpected(self, wanted: str) -> ExpressionError:
        token = self._peek
        found = _shown(token.text) if token.text else "the end"
        return ExpressionError(token.at, f"here is {found}, expected is {wanted}")

    @staticmethod
    def _condition(parsed: Condition | Operand, at: int) -> Condition:
        if isinstance(parsed, Name | Literal):
            raise ExpressionError(
                at, "a user id or text alone is no condition: compare it by == or !="
            )
        return parsed

    @staticmethod
    def _operand(parsed: Condition | Operand, at: int) -> Operand:
        if isinstance(parsed, Name | Literal):
            return parsed
        raise ExpressionError(at, "== and != compare user ids, texts and null, not conditions")


def _shown(text: str) -> str:
    return repr(text[:40])
