"""Boundaries of names, descriptions and function settings."""

from dataclasses import replace
from typing import Any

import pytest

from runtime.errors import InvalidParameterError
from runtime.messages import Function
from runtime.services.function_rules import check_function, node_major
from runtime.services.naming import check_desc, check_function_name, check_space_name
from runtime.settings import Settings

SETTINGS = Settings()


@pytest.mark.parametrize(
    "name", ["abc", "a" * 15, "小程序", "Ärger", "a1_", "my shop", "a(1)", "shop-2", "x!?"]
)
def test_good_space_names(name: str) -> None:
    check_space_name(name, SETTINGS)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ab",
        "a" * 16,
        "1abc",
        "_abc",
        "-abc",
        " abc",
        "abc ",
        "a\nb",
        "a\x00b",
        "a\u200bb",
        "٣abc",
    ],
)
def test_bad_space_names(name: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        check_space_name(name, SETTINGS)
    assert caught.value.code == "InvalidParameter.Name"


@pytest.mark.parametrize("name", ["a", "_", "a" * 30, "Az09_-", "a-", "_1"])
def test_good_function_names(name: str) -> None:
    check_function_name(name, SETTINGS)


@pytest.mark.parametrize(
    "name",
    ["", "a" * 31, "1a", "-a", "a.b", "a/b", "../a", "a b", "函数", "a\n", "é", "a\x00"],
)
def test_bad_function_names(name: str) -> None:
    with pytest.raises(InvalidParameterError):
        check_function_name(name, SETTINGS)


def test_the_longest_description() -> None:
    check_desc("说" * 128, SETTINGS)
    with pytest.raises(InvalidParameterError):
        check_desc("说" * 129, SETTINGS)


@pytest.mark.parametrize(
    "good",
    [
        {},
        {"memory_mb": 128},
        {"memory_mb": 2048},
        {"timeout_s": 1},
        {"timeout_s": 7200},
        {"concurrency": 20, "memory_mb": 512},
        {"runtime": "nodejs8"},
        {"runtime": "nodejs99"},
    ],
)
def test_good_functions(good: dict[str, Any]) -> None:
    check_function(replace(Function(name="f"), **good))


@pytest.mark.parametrize(
    ("bad", "parameter"),
    [
        ({"memory_mb": 64}, "Memory"),
        ({"memory_mb": 127}, "Memory"),
        ({"memory_mb": 200}, "Memory"),
        ({"memory_mb": 2112}, "Memory"),
        ({"memory_mb": 0}, "Memory"),
        ({"timeout_s": 0}, "Timeout"),
        ({"timeout_s": 7201}, "Timeout"),
        ({"concurrency": 0, "memory_mb": 512}, "InstanceConcurrency"),
        ({"concurrency": 21, "memory_mb": 512}, "InstanceConcurrency"),
        ({"concurrency": 2, "memory_mb": 448}, "InstanceConcurrency"),
        ({"runtime": "nodejs7"}, "Runtime"),
        ({"runtime": "nodejs100"}, "Runtime"),
        ({"runtime": "nodejs014"}, "Runtime"),
        ({"runtime": "nodejs"}, "Runtime"),
        ({"runtime": "python3"}, "Runtime"),
        ({"runtime": "NodeJS14"}, "Runtime"),
        ({"runtime": "nodejs14\n"}, "Runtime"),
    ],
)
def test_bad_functions(bad: dict[str, Any], parameter: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        check_function(replace(Function(name="f"), **bad))
    assert caught.value.code == f"InvalidParameter.{parameter}"


def test_node_versions() -> None:
    assert node_major("nodejs14") == 14
    assert node_major("nodejs9") == 9
    assert node_major("node14") is None
