"""Options that several commands share."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from runtime.cli.client import ManagementClient
from runtime.cli.connection import find_connection, read_access
from runtime.cli.groups import JSON_WANTED

P = ParamSpec("P")
R = TypeVar("R")

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


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


class Since(click.ParamType[int]):
    """`10m`, `2h`, `1d`, or a time like 2026-11-21T08:00: milliseconds since 1970."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Fails with what is accepted."""
        if isinstance(value, int):
            return value
        moment: datetime
        ago = re.fullmatch(r"(\d{1,6})([smhd])", value)
        if ago:
            moment = datetime.now().astimezone() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            try:
                moment = datetime.fromisoformat(value).astimezone()
            except ValueError:
                self.fail(f"{value!r} is neither like 10m nor like 2026-11-21T08:00", param, ctx)
        return int(moment.timestamp() * 1000)


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
