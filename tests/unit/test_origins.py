"""Origins and the patterns that allow them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.messages import AccessConfig, CorsDomain
from runtime.services.cors import origin_allowed
from runtime.services.origins import read_origin, read_pattern


def access(*domains: str) -> AccessConfig:
    return AccessConfig(
        cors=tuple(CorsDomain(domain_id=f"cors-{n}", domain=each) for n, each in enumerate(domains))
    )


@pytest.mark.parametrize(
    ("domain", "origin", "allowed"),
    [
        ("example.com", "https://example.com", True),
        ("example.com", "http://example.com", True),
        ("example.com", "https://EXAMPLE.com", True),
        ("example.com", "https://example.com:443", True),
        ("example.com", "https://example.com:8443", False),
        ("example.com", "http://example.com:443", False),
        ("example.com", "https://www.example.com", False),
        ("example.com", "https://notexample.com", False),
        ("example.com", "https://example.com.evil.test", False),
        ("example.com", "https://example.com@evil.test", False),
        ("example.com", "https://example.com/", False),
        ("example.com", "ftp://example.com", False),
        ("example.com", "example.com", False),
        ("example.com", "null", False),
        ("example.com", "", False),
        ("example.com", "https://example.com https://evil.test", False),
        ("example.com:8080", "http://example.com:8080", True),
        ("example.com:8080", "https://example.com:8080", True),
        ("example.com:8080", "http://example.com", False),
        ("example.com:443", "https://example.com", True),
        ("example.com:443", "http://example.com", False),
        ("https://example.com", "https://example.com", True),
        ("https://example.com", "http://example.com", False),
        ("https://example.com:443", "https://example.com", True),
        ("https://example.com:8443", "https://example.com:8443", True),
        ("*.example.com", "https://a.example.com", True),
        ("*.example.com", "https://a.b.example.com", True),
        ("*.example.com", "https://example.com", False),
        ("*.example.com", "https://evilexample.com", False),
        ("https://*.example.com:8443", "https://a.example.com:8443", True),
        ("https://*.example.com:8443", "https://a.example.com", False),
        ("中文.com", "https://xn--fiq228c.com", True),
        ("192.0.2.1:3000", "http://192.0.2.1:3000", True),
        ("[2001:DB8::0:1]:3000", "http://[2001:db8::1]:3000", True),
        ("capacitor://localhost", "capacitor://localhost", True),
        ("localhost", "capacitor://localhost", False),
        ("*", "https://anything.test:1", True),
        ("*", "capacitor://localhost", True),
        ("*", "null", True),
        ("*", "https://a.test/path", False),
        ("*", "", False),
    ],
)
def test_what_a_domain_allows(domain: str, origin: str, allowed: bool) -> None:
    stored = str(read_pattern(domain))
    assert origin_allowed(access("other.test", stored), origin, ()) is allowed


def test_some_hosts_may_call_every_space_at_any_port() -> None:
    always = ("localhost", "[::1]", "*.tools.test")
    for origin, allowed in (
        ("http://localhost:5173", True),
        ("https://localhost", True),
        ("http://[::1]:80", True),
        ("https://a.tools.test:8", True),
        ("https://tools.test", False),
        ("http://localhost.evil.test", False),
        ("app://localhost", False),
        ("null", False),
    ):
        assert origin_allowed(access(), origin, always) is allowed, origin
    assert not origin_allowed(access(), "http://localhost:5173", ())


def test_a_domain_of_another_version_allows_nothing() -> None:
    assert not origin_allowed(access("~new syntax~"), "https://example.com", ())
    assert origin_allowed(access("~new syntax~", "example.com"), "https://example.com", ())


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "https://", "a b", "http://a/b", "a.com/x", "*a.com", "a.*", "*.*", "*:80", "*.", "."),
        *("https://*", "a:0", "a:65536", "a:x", "user@a.com", "a..b", "-a.com", "a_b.com", "[::1", "[1]"),
        *("a" * 301, f"{'a' * 64}.com", "a.com?x", "a.com#x", "a\\b", "a,b", "a\nb", "\ud800.com"),
    ],
)  # fmt: skip
def test_what_is_no_domain(text: str) -> None:
    with pytest.raises(ValueError):
        read_pattern(text)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (" Example.COM/ ", "example.com"),
        ("HTTPS://Example.com:443", "https://example.com"),
        ("http://a.com:080", "http://a.com"),
        ("a.com:0080", "a.com:80"),
        ("[::0001]", "[::1]"),
        ("*.中文.com", "*.xn--fiq228c.com"),
    ],
)
def test_spellings_of_the_same_are_the_same(text: str, stored: str) -> None:
    assert str(read_pattern(text)) == stored
    assert read_pattern(stored) == read_pattern(text)


@given(st.one_of(st.text(max_size=40), st.from_regex(r"(https?://)?[a-z*.:\[\]0-9-]{0,30}")))
def test_any_text_is_read_or_refused(text: str) -> None:
    read_origin(text)
    origin_allowed(access("*.example.com", "*"), text, ("localhost",))
    try:
        pattern = read_pattern(text)
    except ValueError:
        return
    assert read_pattern(str(pattern)) == pattern
