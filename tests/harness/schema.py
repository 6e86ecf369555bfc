"""The part of JSON Schema that docs/asyncapi.yaml uses. A keyword that is not known here is an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_TYPES: Mapping[str, type] = {"object": dict, "string": str, "integer": int}
_NOTES = {"description"}


def problems(schema: Mapping[str, Any], value: Any, where: str = "$") -> list[str]:
    """What is wrong with the value; empty when it is valid."""
    found = []
    for keyword, rule in schema.items():
        if keyword in _NOTES:
            continue
        if keyword == "properties":
            for name, inner in rule.items():
                if isinstance(value, dict) and name in value:
                    found += problems(inner, value[name], f"{where}.{name}")
        elif not _holds(keyword, rule, value):
            found.append(f"{where}: {keyword} {rule}")
    return found


def _holds(keyword: str, rule: Any, value: Any) -> bool:
    check = _CHECKS.get(keyword)
    if check is None:
        raise AssertionError(f"{keyword} is not known to this check")
    kind, holds = check
    return not isinstance(value, kind) or holds(rule, value)


_CHECKS: Mapping[str, tuple[type, Callable[[Any, Any], bool]]] = {
    "type": (
        object,
        lambda rule, value: isinstance(value, _TYPES[rule]) and not isinstance(value, bool),
    ),
    "const": (object, lambda rule, value: value == rule and type(value) is type(rule)),
    "enum": (object, lambda rule, value: value in rule),
    "required": (dict, lambda rule, value: all(name in value for name in rule)),
    "minLength": (str, lambda rule, value: len(value) >= rule),
    "maxLength": (str, lambda rule, value: len(value) <= rule),
    "pattern": (str, lambda rule, value: re.search(rule, value) is not None),
    "minimum": (int, lambda rule, value: value >= rule),
}
"""Of each keyword: to which values it applies, and whether it holds."""
