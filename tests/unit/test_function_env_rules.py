"""Which variables a function may have; every refusal keeps the value to itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import InvalidParameterError
from runtime.services.function_env_rules import (
    EnvLimits,
    check_env_bounds,
    check_env_name,
    check_env_value,
    env_bytes,
)

LIMITS = EnvLimits(variables_max=3, max_bytes=20)


@pytest.mark.parametrize(
    "name",
    ["A", "_", "a1", "DB_URL", "x" * 128, "NODE_ENV", "TZ", "HTTPS_PROXY", "FC_REGION", "MPX"],
)
def test_names_that_are_allowed(name: str) -> None:
    check_env_name(name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "no name"),
        ("1A", "no name"),
        ("A-B", "no name"),
        ("A B", "no name"),
        ("A=B", "no name"),
        ("A\n", "no name"),
        ("A\0", "no name"),
        ("名", "no name"),
        ("x" * 129, "no name"),
        ("YUNHAN_CHANNEL", "the platform"),
        ("MP_SOURCE", "the platform"),
        ("FC_FUNCTION_NAME", "the platform"),
        ("PATH", "the sandbox"),
        ("HOME", "the sandbox"),
        ("TMPDIR", "the sandbox"),
        ("NODE_OPTIONS", "when a process starts"),
        ("NODE_PATH", "when a process starts"),
        ("NODE_EXTRA_CA_CERTS", "when a process starts"),
        ("LD_PRELOAD", "when a process starts"),
        ("UV_THREADPOOL_SIZE", "when a process starts"),
        ("NODE_CHANNEL_FD", "when a process starts"),
        ("OPENSSL_CONF", "when a process starts"),
        ("__proto__", "JavaScript"),
    ],
)
def test_names_that_are_not(name: str, why: str) -> None:
    with pytest.raises(InvalidParameterError, match=why) as caught:
        check_env_name(name)
    assert caught.value.parameter == "Set"
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", [None, 1, True, ["hush"], {"a": "hush"}, "hush\0", "hush\ud800"])
def test_values_that_are_not_text_are_refused_unquoted(value: object) -> None:
    with pytest.raises(InvalidParameterError, match="the value of A ") as caught:
        check_env_value("A", value)
    assert "hush" not in repr(caught.value)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_text_is_a_value(value: str) -> None:
    assert check_env_value("A", value) == value


def test_bounds_count_variables_and_bytes_of_names_and_values() -> None:
    assert env_bytes({"AB": "云"}) == 5
    check_env_bounds({"A": "x" * 19}, LIMITS)
    with pytest.raises(InvalidParameterError, match=r"at most 20 bytes.*this would be 21"):
        check_env_bounds({"A": "x" * 20}, LIMITS)
    check_env_bounds(dict.fromkeys("ABC", ""), LIMITS)
    with pytest.raises(InvalidParameterError, match=r"at most 3 .*this would be 4"):
        check_env_bounds(dict.fromkeys("ABCD", ""), LIMITS)
