"""Our own actions on the network of spaces and functions; the original has none.

Without `Name` they are about the space, with it about that function.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from runtime.errors import InvalidParameterError
from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.parameters import LIST_MAX, Parameters
from runtime.messages import EGRESS_INHERITED, EgressConfig, EgressMode, Space
from runtime.services.egress import EgressChange
from runtime.services.egress_rules import opened, rules_of
from runtime.services.functions import function_of
from sandbox.egress.rules import EgressRuleError

_MODES = {mode.value.upper(): mode for mode in EgressMode}


async def yunhan_update_egress(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """`Mode` (inherit or none), then `Clear` (true) removes all rules, `Remove` (JSON array of rules) some,
    `Allow` (JSON array of rules) adds some. Without any of them nothing changes."""
    space_id, name = parameters.needed("SpaceId"), parameters.text("Name") or None
    change = EgressChange(
        mode=parameters.one_of("Mode", _MODES),
        clear=parameters.boolean("Clear"),
        remove=_rules(parameters, "Remove"),
        allow=_rules(parameters, "Allow"),
    )
    if change.clear and change.remove:
        raise InvalidParameterError("Remove", "Remove and Clear exclude each other")
    return await _answer(deps, await deps.egress.update(space_id, name, change), name)


async def yunhan_describe_egress(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """What the space or the function says, and what follows: for a space its functions that say something of
    their own, for a function the space's part and the rules that hold in the end."""
    space_id, name = parameters.needed("SpaceId"), parameters.text("Name") or None
    return await _answer(deps, await deps.egress.get(space_id), name)


async def _answer(deps: ManagementDeps, space: Space, name: str | None) -> dict[str, Any]:
    limits = deps.egress.limits
    common = {
        # Rules of the installation stay with its operator: they name private addresses.
        "Public": deps.settings.egress_public,
        "SpaceRules": deps.settings.egress_space_rules,
        "RulesMax": limits.rules_max,
        "RuleMaxCharacters": limits.rule_max_characters,
        "Walls": (await deps.server()).isolates,
    }
    if name is None:
        said = {
            each.name: each.egress
            for each in space.functions.values()
            if each.egress != EGRESS_INHERITED
        }
        functions = [{"Name": each, **_config(said[each])} for each in sorted(said)]
        return {**_config(space.egress), "Functions": functions, **common}
    function = function_of(space, name)
    rules = rules_of(space.egress, function.egress)
    return {
        "Name": name,
        **_config(function.egress),
        "Space": _config(space.egress),
        "Effective": {"Installation": rules.inherit, "Allow": _rows(rules.allow)},
        **common,
    }


def _config(egress: EgressConfig) -> dict[str, Any]:
    return {"Mode": egress.mode.value, "Allow": _rows(egress.allow)}


def _rows(allow: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{"Rule": rule, "Opens": _opens(rule)} for rule in allow]


def _opens(rule: str) -> list[str]:
    try:
        return opened(rule)
    except EgressRuleError:  # stored by another version; it grants nothing here
        return []


def _rules(parameters: Parameters, name: str) -> tuple[str, ...]:
    """A JSON array of texts; absent or empty = none."""
    text = parameters.text(name)
    if not text:
        return ()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise InvalidParameterError(name, f"{name} is JSON text of an array of rules")
    if len(value) > LIST_MAX:
        raise InvalidParameterError(name, f"{name} has at most {LIST_MAX} items")
    return tuple(value)


ACTIONS = {
    "YunhanUpdateEgress": yunhan_update_egress,
    "YunhanDescribeEgress": yunhan_describe_egress,
}
