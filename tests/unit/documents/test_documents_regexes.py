"""Patterns that explode are refused by their structure; those of every day pass."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.documents.regex_tokens import RegexRefusedError, tokens
from runtime.documents.regexes import _read, regex_problem

EXPLODING = [
    "(a+)+",
    "(a*)*",
    "(a+)*b",
    "(a|a)*",
    "(a|ab|b)*c",
    "(a?){30}a{30}",
    "(.*a){12}",
    "(.*)*",
    r"^(\w+\s?)*$",
    r"(\d+)*$",
    "([a-z]+)+",
    "((a+)b?)+",
    "(?:a+){2,}",
    "(?<n>a+)+",
    "(?=(a+)+)b",
    "(?=a*)*b",
    "(a*a*x)*",
    r"([^x]+)*",
    r"(\x61+)+",
    r"(\x{2}+)+",
    r"(\p{L}+)+",
    "(x+x+)+y",
    "([[:alpha:]]+)*",
    "(é+)+",
    "(a+|b)+c(d|d)*",
    "a*a*a*a*a*a*a*b",
    ".*.*.*.*.*.*.*x",
    "(a|a)" * 11,
    "a?" * 20 + "a" * 20,
    "(|)" * 11,
    "[^]x]+(y*)*",
    "((a{100}){100}){100}",
    "a{9999}b{9999}",
    "a*a*b",
    "^a*a*a*b",
    ".*one.*two.*",
    "^.*one.*two.*$",
    r"(\w+\s)*\w+$",
    "((?=.*x)a)*b",
    "(^|x)a*a*b",
    "(?!^)a*a*b",
    "(^)?a*a*b",
    "(?m)^a*a*b",
    "a{0,40}a{0,40}b",
    "a{0,31}a{0,31}a{0,31}a{0,31}b",
]
USUAL = [
    "",
    "^T",
    "abc",
    "^abc.*",
    ".*key.*",
    "key.*word",
    "^a*a*b",
    "^key.*word.*end",
    r"\d+-\d+",
    r"^[\w.]+@[\w.]+$",
    r"\s+$",
    r"\d{4}\d{1,2}\d{1,2}",
    "^.{2,20}$",
    "foo|bar",
    "张三",
    "|".join(["张三", "李四", "王五", "赵六"] * 10),
    "(?=.*one)(?=.*two)",
    r"^1[3-9]\d{9}$",
    r"^(\d{1,3}\.){3}\d{1,3}$",
    r"^\d+(,\d+)*$",
    r"^[\w.+-]+@[\w-]+\.[\w.-]+$",
    "^(foo|bar)+$",
    r"^(\w+\s)*\w+$",
    r"^https?://[^/]+/(\w+/)*$",
    "[\u4e00-\u9fa5]+",
    "^(?=.*[a-z])(?=.*[A-Z])(?=.*\\d)[A-Za-z\\d]{8,}$",
    "(?i)abc",
    r"\(\+\)\*",
    r"a\.b\\c/d\-e",
    "a{,b}",
    "[]a]+",
    "[a-]+x",
    "([A-Z][a-z]+)+",
    "你好|世界",
    "(^|,)a(,|$)",
]
NOT_TAKEN = [
    ("(a)\\1", ""),
    ("(?R)", ""),
    ("(?1)", ""),
    ("(*LIMIT_MATCH=9)a", ""),
    ("\\Q(a+)+\\E", ""),
    ("(?x)( a + ) +", ""),
    ("(?#c)a", ""),
    ("(a", ""),
    ("a)", ""),
    ("[a", ""),
    ("a\\", ""),
    ("*a", ""),
    ("a**", ""),
    ("^*a", ""),
    ("a{1, 2}", ""),
    ("a{,3}", ""),
    ("[[:a](a+)+]", ""),
    ("(" * 60 + ")" * 60, ""),
    ("a", "g"),
    ("a", "ii?"),
    ("(a+) +", "x"),
    ("(a+ #)\n)+", "x"),
    ("(a+#\r)+", "x"),
    ("([A-Z][a-z]+)+", "i"),
    ("(a+)\\N{U+61}", ""),
]


@pytest.mark.parametrize("pattern", EXPLODING)
def test_exploding_patterns_are_refused(pattern: str) -> None:
    assert regex_problem(pattern) is not None


@pytest.mark.parametrize("pattern", USUAL)
def test_usual_patterns_pass(pattern: str) -> None:
    assert regex_problem(pattern) is None


@pytest.mark.parametrize(("pattern", "options"), NOT_TAKEN)
def test_what_cannot_be_judged_is_refused(pattern: str, options: str) -> None:
    assert regex_problem(pattern, options) is not None


def test_options_of_the_database_pass() -> None:
    assert regex_problem("a b # c", "imsx") is None
    assert regex_problem("([A-Z][a-z]+)+", "ms") is None


@pytest.mark.parametrize(
    ("pattern", "options", "degree"),
    [
        ("^abc", "", 1),
        ("abc.*", "", 2),
        ("^.*abc.*", "", 1),
        ("^.*abc.*", "m", 2),
        (".*one.*two", "", 3),
        ("^[^,]*,[^,]*,", "", 1),
        ("a*a*a*b", "", 4),
        (r"\Aa*a*a*b", "", 3),
        ("(?=.*a)(?=.*b)^", "", 2),
        ("((?=.*x)a)*b", "", 3),
    ],
)
def test_the_degree_is_what_the_bound_is_compared_with(
    pattern: str, options: str, degree: int
) -> None:
    assert regex_problem(pattern, options, degree_max=degree) is None
    if degree > 1:
        problem = regex_problem(pattern, options, degree_max=degree - 1)
        assert problem is not None
        assert f"power {degree}" in problem


@given(st.text(alphabet="ab()[]{}|*+?\\^$.,-:=!<>#1dwsxQpi é\n", max_size=40), st.booleans())
@settings(max_examples=400, deadline=None)
def test_wild_text_gives_an_answer(pattern: str, extended: bool) -> None:
    problem = regex_problem(pattern, "x" if extended else "")
    assert problem is None or problem


def test_a_long_pattern_is_read_once() -> None:
    assert regex_problem("(a" * 40 + "b)+" * 40 + "[xyz]" * 160) is None
    assert regex_problem("\ud800*") is None


# --- against a backtracking matcher that counts its steps ---------------------------------------

Node = tuple[object, ...]
LETTERS = st.sampled_from(["a", "b", "[ab]", "."])
NODES: st.SearchStrategy[Node] = st.recursive(
    LETTERS.map(lambda each: ("char", each)),
    lambda inner: st.one_of(
        st.tuples(st.just("both"), inner, inner),
        st.tuples(st.just("or"), inner, inner),
        st.tuples(st.just("repeat"), inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}"])),
    ),
    max_leaves=6,
)
COUNTS = {"*": (0, 99), "+": (1, 99), "?": (0, 1), "{2}": (2, 2), "{1,3}": (1, 3)}


def text_of(node: Node) -> str:
    match node:
        case ("char", str(text)):
            return text
        case ("both", tuple(left), tuple(right)):
            return text_of(left) + text_of(right)
        case ("or", tuple(left), tuple(right)):
            return f"({text_of(left)}|{text_of(right)})"
        case ("repeat", tuple(body), str(sign)):
            return f"({text_of(body)}){sign}"
    raise AssertionError(node)


class Steps:
    def __init__(self, text: str, most: int) -> None:
        self.text, self.most, self.count = text, most, 0

    def run(self, node: Node, at: int, then: Callable[[int], bool]) -> bool:
        self.count += 1
        if self.count > self.most:
            return True
        match node:
            case ("char", str(text)):
                fits = at < len(self.text) and re.fullmatch(text, self.text[at]) is not None
                return fits and then(at + 1)
            case ("both", tuple(left), tuple(right)):
                return self.run(left, at, lambda end: self.run(right, end, then))
            case ("or", tuple(left), tuple(right)):
                return self.run(left, at, then) or self.run(right, at, then)
            case ("repeat", tuple(body), str(sign)):
                return self._repeat(body, COUNTS[sign], at, then, 0)
        raise AssertionError(node)

    def _repeat(
        self, body: Node, counts: tuple[int, int], at: int, then: Callable[[int], bool], done: int
    ) -> bool:
        def again(end: int) -> bool:
            stuck = end == at and done >= counts[0]
            return not stuck and self._repeat(body, counts, end, then, done + 1)

        if done < counts[1] and self.run(body, at, again):
            return True
        return done >= counts[0] and then(at)


def check_steps(node: Node, text: str) -> bool:
    """Whether the pattern passes; when it does, it must not take more steps than it was judged to."""
    pattern = text_of(node)
    try:
        part = _read(tokens(pattern, extended=False, fold=False))
    except RegexRefusedError:
        return False
    most = 4 * len(pattern) * (len(text) + 1) ** part.degree * part.factor
    steps = Steps(text, most)
    steps.run(node, 0, lambda _end: False)  # never content: all ways are tried
    assert steps.count <= most, (pattern, text, part)
    most = 4 * len(pattern) * (len(text) + 1) ** part.last_degree * part.factor
    steps = Steps(text, most)
    steps.run(node, 0, lambda _end: True)  # content with the first way, as at a pattern's end
    assert steps.count <= most, (pattern, text, part)
    return True


@given(NODES, st.text(alphabet="ab", min_size=8, max_size=14))
@settings(max_examples=300, deadline=None)
def test_a_pattern_that_passes_takes_few_steps(node: Node, text: str) -> None:
    check_steps(node, text)


def test_each_small_repetition_that_passes_takes_few_steps() -> None:
    def repeated(nodes: list[Node]) -> list[Node]:
        return nodes + [("repeat", node, sign) for node in nodes for sign in ("*", "?", "{1,3}")]

    items = repeated([("char", "a"), ("char", "[ab]"), ("char", "b")])
    bodies = repeated(
        [(kind, left, right) for kind in ("both", "or") for left in items for right in items]
    )
    passed = [
        node
        for node in (("repeat", body, "+") for body in bodies)
        if all(check_steps(node, text) for text in ("a" * 14, "ab" * 7, "b" * 14))
    ]
    assert 10 < len(passed) < len(bodies) // 2
