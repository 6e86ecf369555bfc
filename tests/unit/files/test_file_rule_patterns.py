"""What scopes take and refuse. That they mean what JavaScript means is compared with Node.js by
tests/integration/test_file_rule_patterns_in_node.py."""

from __future__ import annotations

import pytest

from runtime.files.rule_scope import PATTERN_MAX_CHARACTERS, Everything, OneFile, scope_of
from runtime.rule_json import RulePartError


def covers(pattern: str, path: str) -> bool:
    return scope_of(pattern).covers(path)


@pytest.mark.parametrize(
    ("scope", "inside", "outside"),
    [
        ("*", ["a", "a/b", "云"], []),
        ("a/b.png", ["a/b.png"], ["a/b_png", "a/b.png2", "x/a/b.png", "A/b.png"]),
        ("a*", ["a*"], ["ab", "aa"]),
        (r"/.*\.png/", ["a.png", "a.png.txt", "x/y.png"], ["apng", "a.PNG"]),
        (r"/\.png$/", ["a.png"], ["a.png.txt", "a.png\n"]),
        (r"/^pub/", ["public/a", "pub"], ["a/pub", "Pub"]),
        (r"/^(?:a|b)\/[^/]+$/", ["a/x", "b/y"], ["a/x/y", "c/x"]),
        ("/a/b/", ["a/b", "xa/bx"], ["ab"]),
        ("/b|^c$/", ["abc", "c"], ["cc"]),
        (r"/\.JPE?G$/i", ["a.jpg", "a.JpEg"], ["a.jpg2"]),
        ("/é/i", ["É", "é"], ["e"]),
        ("/^.$/", ["a", "云", "😀"], ["ab"]),
        ("/^[😀-😂]$/", ["😁"], ["😃"]),
        (r"/^[\u4e00-\u9fa5]{2,3}$/", ["云函", "云函数"], ["云", "ab"]),
        (r"/^\d\d$/", ["12"], ["١٢"]),
        (r"/^\w$/", ["a", "_"], ["é", "云"]),
        (r"/^a\sb$/", ["a b", "a\u00a0b", "a\u3000b", "a\ufeffb"], ["a\u200bb"]),
        (r"/\bcat\b/", ["a/cat.png", "écaté cat"], ["cats", "_cat"]),
        (r"/\B/", ["ab", "云"], ["a", "a\u3000b"]),
        (r"/^\W$/i", ["-", "é"], ["k", "S", "\u017f"]),
        ("/a{,2}/", ["a{,2}"], ["aa"]),
        ("/x]}{/", ["x]}{"], ["x"]),
        ("/^a{0}b$/", ["b"], ["ab"]),
        ("/^(?<year>[0-9]{4})$/", ["2020"], ["202"]),
        (r"/^[\]\-\\^]+$/", ["]-\\^"], ["a"]),
        (r"/^[^\s\S]/", [], ["a", "/"]),
    ],
)
def test_scopes(scope: str, inside: list[str], outside: list[str]) -> None:
    for path in inside:
        assert covers(scope, path), path
    for path in outside:
        assert not covers(scope, path), path


def test_kinds() -> None:
    assert scope_of("*") == Everything()
    assert scope_of("a/b") == OneFile("a/b")
    assert scope_of("/a/") == scope_of("/a/")
    assert scope_of("*").cost == scope_of("a").cost == 0
    assert 0 < scope_of("/a/").cost < scope_of("/a{9}/").cost


@pytest.mark.parametrize(
    ("scope", "at", "message"),
    [
        ("", 0, "0 bytes"),
        ("a//b", 0, "segment"),
        ("../a", 0, "segment"),
        ("/a", 0, "between two"),
        ("/a.png", 0, "between two"),
        ("/", 0, "between two"),
        ("/a/g", 3, "an i behind"),
        ("/a/ii", 3, "an i behind"),
        ("/a/iu", 3, "an i behind"),
        ("/a/b.png", 3, "an i behind"),
        ("//", 0, "empty expression"),
        ("//i", 0, "empty expression"),
        ("/" + "a" * (PATTERN_MAX_CHARACTERS + 1) + "/", PATTERN_MAX_CHARACTERS, "at most 500"),
        # what RE2 lacks
        ("/a(?=b)/", 2, "looking ahead"),
        ("/a(?!b)/", 2, "looking ahead"),
        ("/(?<=a)b/", 1, "looking ahead or behind"),
        ("/(?<!a)b/", 1, "looking ahead or behind"),
        (r"/(a)\1/", 4, "references"),
        (r"/(?<n>a)\k<n>/", 8, "references"),
        # what no path needs
        (r"/\cA/", 1, "not known"),
        (r"/a\0/", 2, "octal"),
        (r"/\u{61}/", 1, "not known"),
        (r"/\u61/", 1, "not known"),
        (r"/\x6/", 1, "not known"),
        (r"/\ud83d\ude00/", 1, "half of a character"),
        ("/a[]/", 2, "nothing in these brackets"),
        ("/a[^]/", 2, "nothing in these brackets"),
        # what means something else elsewhere
        (r"/\pL/", 1, "not known"),
        (r"/\p{L}/", 1, "not known"),
        (r"/a\z/", 2, "not known"),
        (r"/\A/", 1, "not known"),
        (r"/\Qa\E/", 1, "not known"),
        ("/(?i)a/", 1, "no group known"),
        ("/(?i:a)/", 1, "no group known"),
        ("/(?P<n>a)/", 1, "no group known"),
        ("/(?>a)/", 1, "no group known"),
        ("/(?<1>a)/", 1, "no group known"),
        ("/(?<n>a)(?<n>b)/", 8, "second time"),
        # what is no expression
        ("/(a/", 1, "not closed"),
        ("/((a)/", 1, "not closed"),
        ("/a)/", 2, "closes nothing"),
        ("/[a/", 1, "not closed"),
        (r"/[a\]/", 1, "not closed"),
        ("/a\\/", 2, "before nothing"),
        ("/*/", 1, "nothing to repeat"),
        ("/(?:+)/", 4, "nothing to repeat"),
        ("/a|?/", 3, "nothing to repeat"),
        ("/^*/", 2, "nothing to repeat"),
        (r"/\b+/", 3, "nothing to repeat"),
        ("/a**/", 3, "nothing to repeat"),
        ("/a+?+/", 4, "nothing to repeat"),
        ("/a{2}{3}/", 5, "nothing to repeat"),
        ("/{2}/", 1, "nothing to repeat"),
        ("/a{3,2}/", 2, "from more to less"),
        ("/a{1001}/", 2, "at most 1000"),
        ("/a{0,99999999999999999999}/", 2, "at most 1000"),
        ("/[z-a]/", 2, "from more to less"),
        (r"/[\d-z]/", 2, "between two characters"),
        (r"/[a-\w]/", 2, "between two characters"),
        # what would take too much
        ("/(?:a{100}){100}/", 0, "too long"),
        (r"/[^\x00-\x40\u0100-\u0200]{1000}/", 0, "too long"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_is_no_scope(scope: str, at: int, message: str) -> None:
    with pytest.raises(RulePartError, match=message) as refused:
        scope_of(scope)
    assert refused.value.at == at


def test_a_text_that_is_no_path_is_no_fault() -> None:
    assert not covers("/a/", "\ud800")
    assert not covers("a", "\ud800")
    assert covers("*", "\ud800")
