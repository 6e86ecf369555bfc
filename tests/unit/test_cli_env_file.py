"""The form of --env-file: what is read, what is refused without quoting it, what is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.cli.env_file import EnvFileError, read_env_file, write_env_file

PEM = "-----BEGIN KEY-----\nabc/+==\n-----END KEY-----"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("\n # only a comment", {}),
        ("A=1", {"A": "1"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("A=", {"A": ""}),
        ("A=\nB=1", {"A": "", "B": "1"}),
        ("  A = x y \t\n", {"A": "x y"}),
        ("export A=1\nexport=2", {"A": "1", "export": "2"}),
        ("A=a#b # comment", {"A": "a#b"}),
        ("A=# comment\nB= # comment", {"A": "", "B": ""}),
        ("A=x=y==", {"A": "x=y=="}),
        ('A=it\'s "so"', {"A": 'it\'s "so"'}),
        ("A='a # \\n $B ' # comment\nB=1", {"A": "a # \\n $B ", "B": "1"}),
        ('A="a # b\\n\\t\\"c\\" \\\\n $B"\t', {"A": 'a # b\n\t"c" \\n $B'}),
        ('A="C:\\dir\\u4e91\\ud83d\\ude00"', {"A": "C:\\dir云😀"}),
        (f"A='{PEM}'\nB=1", {"A": PEM, "B": "1"}),
        (f'A="{PEM}"', {"A": PEM}),
        ("A=a\u2028b\x85c", {"A": "a\u2028b\x85c"}),
        ("A=''", {"A": ""}),
        ("A=\u3000云\u3000", {"A": "\u3000云\u3000"}),
    ],
)
def test_what_is_read(text: str, expected: dict[str, str]) -> None:
    assert read_env_file(text) == expected


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("A=1\nhush", 2, "is no NAME=VALUE"),
        ("\n\n1A=hush", 3, "is no NAME=VALUE"),
        ("A-B=hush", 1, "is no NAME=VALUE"),
        ("=hush", 1, "is no NAME=VALUE"),
        ("# c\nA='hush", 2, "no end"),
        ('A="hush\\"', 1, "no end"),
        ('A="hush" hush', 1, "after its closing quote"),
        ("A='hush\nhush'x", 2, "after its closing quote"),
        ("A=1\nB=2\nA=hush", 3, "an earlier line"),
        (f"A={PEM.replace('KEY', 'hush')}", 2, "several lines"),
    ],
)
def test_what_is_refused_is_told_by_its_line_only(text: str, line: int, what: str) -> None:
    with pytest.raises(EnvFileError, match=f"^line {line} .*{what}") as caught:
        read_env_file(text)
    assert "hush" not in str(caught.value)


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)
values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.dictionaries(names, values, max_size=5))
def test_what_is_written_is_read_back(env: dict[str, str]) -> None:
    text = write_env_file(env)
    assert read_env_file(text) == env
    assert text.count("\n") == len(env)


@given(st.dictionaries(names, st.from_regex(r"[^\s'\"#\x00-\x1f][^\s#]*", fullmatch=True)))
def test_plain_values_need_no_quotes(env: dict[str, str]) -> None:
    text = "".join(f"{name}={value}\n" for name, value in env.items())
    assert read_env_file(text) == env


def test_nothing_that_a_terminal_acts_on_is_written() -> None:
    text = write_env_file({"A": "\x1b[31m\x9b\x7f\u202e\r\b"})
    assert all(character.isprintable() for character in text.removesuffix("\n"))
