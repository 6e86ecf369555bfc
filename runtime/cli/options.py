"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import click

from runtime.cli.client import ManagementClient
from runtime.cli.connection import find_connection, read_access
from runtime.cli.groups import JSON_WANTED

P = ParamSpec("P")
R = TypeVar("R")


def _remember_json(ctx: click.Context, _parameter: click.Parameter, value: bool) -> bool:
    ctx.meta[JSON_WANTED] = value
    return value


json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    is_eager=True,  # so that wrong usage is told as JSON, too
    callback=_remember_json,
    help="Print one line of JSON.",
)
space_option = click.option(
    "--space", required=True, metavar="SPACE", help="Id of a space, or its name when unique."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def remote_command(command: Callable[Concatenate[ManagementClient, P], R]) -> Callable[P, R]:
    """Adds --endpoint and gives the command a client of the program as its first argument."""

    @click.option(
        "--endpoint",
        metavar="URL",
        help="The program to speak to, instead of the one that runs on this data directory.",
    )
    @functools.wraps(command)
    def connected(*args: P.args, **kwargs: P.kwargs) -> R:
        endpoint = kwargs.pop("endpoint", None)
        connection = find_connection(read_access(), str(endpoint) if endpoint else None)
        return command(ManagementClient(connection), *args, **kwargs)

    return connected
