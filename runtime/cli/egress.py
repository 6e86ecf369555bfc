"""`yunhan egress`: what the functions of a space may reach of the network."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from typing import Any

import click

from runtime.cli.client import ManagementClient, Parameter
from runtime.cli.errors import CliError
from runtime.cli.lookup import find_space_id
from runtime.cli.options import json_option, remote_command
from runtime.cli.output import note, print_fields, print_json, print_table
from sandbox.egress.rules import EgressRuleError, parse_rules

_space_argument = click.argument("space", metavar="SPACE")
_function_option = click.option(
    "--function", metavar="NAME", help="Only this function, instead of the whole space."
)
_rules_argument = click.argument("rules", nargs=-1, required=True, metavar="RULE...")


@click.group
def egress() -> None:
    """What functions may reach of the network. A rule is an address, a network or a host name, with a port
    or without: 10.0.0.5:3306, 10.1.0.0/16, db.internal:27017, *.corp.example:443, [fd00::1]:443."""


@egress.command
@_space_argument
@_function_option
@json_option
@remote_command
def show(client: ManagementClient, space: str, function: str | None, as_json: bool) -> None:
    """Show mode and rules, of the space or of one function."""
    _print(_describe(client, space, function), as_json=as_json)


@egress.command
@_space_argument
@_rules_argument
@_function_option
@json_option
@remote_command
def allow(
    client: ManagementClient,
    space: str,
    rules: Sequence[str],
    function: str | None,
    as_json: bool,
) -> None:
    """Allow what RULE names, also private addresses. The next call has it, in a sandbox of its own."""
    told = _update(client, space, function, {"Allow": json.dumps(list(rules))})
    _print(told, as_json=as_json)


@egress.command
@_space_argument
@click.argument("rules", nargs=-1, metavar="[RULE...]")
@click.option("--all", "clear", is_flag=True, help="Remove every rule.")
@_function_option
@json_option
@remote_command
def remove(  # noqa: PLR0917  # click passes options by name
    client: ManagementClient,
    space: str,
    rules: Sequence[str],
    clear: bool,
    function: str | None,
    as_json: bool,
) -> None:
    """Take rules back. What runs already keeps its connections until it ends."""
    if rules and clear:
        raise click.UsageError("say which rules or --all, not both")
    if not rules and not clear:
        raise click.UsageError("say which rules, or --all")
    changes: dict[str, Parameter] = {"Clear": True}
    if rules:
        _refuse_unknown(_describe(client, space, function), rules)
        changes = {"Remove": json.dumps(list(rules))}
    _print(_update(client, space, function, changes), as_json=as_json)


@egress.command(short_help="Choose what is reached without a rule: inherit or none.")
@_space_argument
@click.argument("mode", type=click.Choice(["inherit", "none"]))
@_function_option
@json_option
@remote_command
def mode(
    client: ManagementClient, space: str, mode: str, function: str | None, as_json: bool
) -> None:
    """inherit: what the installation allows (a function: what its space may reach) and the own rules.
    none: the own rules only, no public addresses either."""
    _print(_update(client, space, function, {"Mode": mode}), as_json=as_json)


def _describe(client: ManagementClient, space: str, function: str | None) -> dict[str, Any]:
    parameters: dict[str, Parameter] = {"SpaceId": find_space_id(client, space)}
    if function:
        parameters["Name"] = function
    return dict(client.call("YunhanDescribeEgress", parameters))


def _refuse_unknown(told: dict[str, Any], rules: Sequence[str]) -> None:
    """Raises CliError for the first rule that is not there in any spelling."""
    present = _texts(told["Allow"])
    for rule in rules:
        if rule in present or _stored_form(rule) in present:
            continue
        near = difflib.get_close_matches(rule, present, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        owner = told.get("Name", "the space")
        raise CliError(
            f"{owner} has no rule {rule}.{hint}",
            code="EgressRuleNotFound",
            next_step=f"The rules are: {', '.join(present)}." if present else "It has none.",
        )


def _stored_form(text: str) -> str:
    """As the program stores it: for example a name in lower case."""
    try:
        return " ".join(map(str, parse_rules(text)))
    except EgressRuleError:
        return text


def _update(
    client: ManagementClient,
    space: str,
    function: str | None,
    changes: dict[str, Parameter],
) -> dict[str, Any]:
    parameters = {"SpaceId": find_space_id(client, space), **changes}
    if function:
        parameters["Name"] = function
    return dict(client.call("YunhanUpdateEgress", parameters))


def _print(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(_as_json(told))
        return
    print_fields(_fields(told))
    rows = [
        *_rows(told, told.get("Name", "the space")),
        *(_rows(told["Space"], "the space") if _takes_from_space(told) else ()),
        *(row for each in told.get("Functions", ()) for row in _rows(each, each["Name"])),
    ]
    if rows:
        click.echo()
        print_table(("Rule", "Of", "Mode", "Opens"), rows)
    if not told["Walls"]:
        note(
            "warning: this program's sandboxes have no walls (yunhan doctor): functions reach whatever it"
            " reaches; mode and rules hold for httpProxyClient only."
        )


def _takes_from_space(told: dict[str, Any]) -> bool:
    return "Space" in told and told["Mode"] == "inherit"


def _fields(told: dict[str, Any]) -> dict[str, str]:
    fields = {"Mode": told["Mode"]}
    inherits = told["Mode"] == "inherit"
    if "Space" in told:
        fields["Mode of the space"] = told["Space"]["Mode"]
        inherits = told["Effective"]["Installation"]
    if not inherits:
        reach = "only what the rules name"
    elif told["Public"]:
        reach = "public addresses, what YUNHAN_EGRESS_ALLOW names, and what the rules name"
    else:
        reach = "what YUNHAN_EGRESS_ALLOW names, and what the rules name"
    fields["Reached"] = reach
    if told["SpaceRules"] == "narrow":
        fields["Rules"] = "narrow only (YUNHAN_EGRESS_SPACE_RULES)"
    return fields


def _rows(config: dict[str, Any], owner: str) -> list[tuple[str, str, str, str]]:
    """Of a space or function. One without rules is told, too, when it inherits nothing."""
    mode = str(config["Mode"])
    if not config["Allow"] and mode == "none":
        return [("(no rule)", owner, mode, "nothing")]
    return [(each["Rule"], owner, mode, _opens(each)) for each in config["Allow"]]


def _opens(allowed: dict[str, Any]) -> str:
    if allowed["Opens"]:
        return ", ".join(allowed["Opens"])
    try:
        rules = parse_rules(allowed["Rule"])
    except EgressRuleError:  # another version's
        return ""
    of_names = any(not rule.is_of_addresses for rule in rules)
    return "whatever it resolves to" if of_names else "public addresses"


def _as_json(told: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"mode": told["Mode"], "allow": _texts(told["Allow"])}
    if "Name" in told:
        answer = {
            "function": told["Name"],
            **answer,
            "space": {"mode": told["Space"]["Mode"], "allow": _texts(told["Space"]["Allow"])},
            "effective": {
                "installation": told["Effective"]["Installation"],
                "allow": _texts(told["Effective"]["Allow"]),
            },
        }
    else:
        answer["functions"] = [
            {"function": each["Name"], "mode": each["Mode"], "allow": _texts(each["Allow"])}
            for each in told["Functions"]
        ]
    return {
        **answer,
        "public": told["Public"],
        "spaceRules": told["SpaceRules"],
        "walls": told["Walls"],
    }


def _texts(allow: Sequence[dict[str, Any]]) -> list[str]:
    return [each["Rule"] for each in allow]
