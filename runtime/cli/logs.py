"""`yunhan logs`: what functions wrote, once or as it comes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

import click

from runtime.cli.client import PAGE_SIZE, ManagementClient
from runtime.cli.errors import RemoteError
from runtime.cli.lookup import find_space_id
from runtime.cli.options import Since, json_option, remote_command, space_option
from runtime.cli.output import local_time, note, print_json

POLL_S = 1.0
SEEN_MAX = 10_000
FOLLOW_BACK_S = 8300.0
"""How far back a new record may have started: the longest asynchronous run, and clocks that differ."""
LIMIT_DEFAULT = 20

_LEVELS = ("debug", "info", "warn", "error")
_COLOURS = {"warn": "yellow", "error": "red", "debug": "bright_black"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which invocations and which of their lines. None = any."""

    space_id: str
    function: str
    request_id: str | None = None
    status: str | None = None
    since_ms: int | None = None
    level: str | None = None
    """The lowest level to show. The program knows exact levels only, so it helps with the highest."""

    def parameters(self) -> dict[str, str | None]:
        return {
            "SpaceId": self.space_id,
            "Name": self.function,
            "LogRequestId": self.request_id,
            "Status": self.status,
            "Level": self.level if self.level == _LEVELS[-1] else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownLine:
    """One line as it is printed."""

    time_ms: int
    level: str
    request_id: str
    function: str
    text: str


@click.command
@click.argument("name")
@space_option
@click.option("--follow", "-f", is_flag=True, help="Go on with new lines until Ctrl-C.")
@click.option("--request-id", metavar="ID", help="Only this invocation.")
@click.option("--level", type=click.Choice(_LEVELS), help="Only lines of this level or above.")
@click.option("--since", type=Since(), metavar="AGE|TIME", help="E.g. 10m, 2h, 2026-11-21T08:00.")
@click.option("--status", type=click.Choice(["success", "fail"]), help="Only such invocations.")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=LIMIT_DEFAULT,
    show_default=True,
    help="The newest so many invocations.",
)
@json_option
@remote_command
def logs(  # noqa: PLR0917  # click passes options by name
    client: ManagementClient,
    name: str,
    space: str,
    follow: bool,
    request_id: str | None,
    level: str | None,
    since: int | None,
    status: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Print a function's log lines, oldest first. With --json one line of JSON for each."""
    wanted = LogFilter(
        space_id=find_space_id(client, space),
        function=name,
        request_id=request_id,
        status=status.upper() if status else None,
        since_ms=since,
        level=level,
    )
    reader = LogReader(client, wanted)
    if follow:
        reader.pass_over_present()
    lines = reader.newest(limit)
    _print(lines, as_json=as_json)
    if not lines:
        if not reader.found:
            _refuse_unknown(client, wanted)
        if not follow:
            chosen = " that fits" if any((request_id, status, level, since)) else ""
            note(_no_lines(name, chosen, reader.found, limit))
    with suppress(KeyboardInterrupt):  # the way to end it, not a failure
        while follow:
            time.sleep(POLL_S)
            _print(reader.fresh(), as_json=as_json)


def _no_lines(name: str, chosen: str, found: int, limit: int) -> str:
    """What can be said of a function without a line in its `found` newest invocations."""
    if found < limit:
        return f"{name} has no log lines{chosen}."
    which = "invocation" if limit == 1 else f"{limit} invocations"
    has = "has" if limit == 1 else "have"
    return f"The newest {which} of {name} {has} no log lines{chosen}; --limit looks further back."


def _refuse_unknown(client: ManagementClient, wanted: LogFilter) -> None:
    """Raises RemoteError when there is neither the function nor a record of a deleted one."""
    which = {"SpaceId": wanted.space_id, "Name": wanted.function}
    try:
        client.call("DescribeFunction", which)
    except RemoteError as error:
        if error.code != "FunctionNotFound":
            raise
        if not client.call("ListFunctionLog", {**which, "PageNum": 1, "PageSize": 1}).get(
            "DataList"
        ):
            raise


class LogReader:
    """Reads records of invocations, each once."""

    def __init__(self, client: ManagementClient, wanted: LogFilter) -> None:
        self._client = client
        self._wanted = wanted
        self._seen: dict[str, None] = {}  # in order of arrival, the oldest go first
        self.found = 0
        """Invocations that `newest` read."""

    def pass_over_present(self) -> None:
        """What is there already is not `fresh`. Comes before `newest`, so that nothing is lost."""
        present = list(islice(self._records(_recently()), SEEN_MAX))
        self._mark(present)

    def newest(self, limit: int) -> list[ShownLine]:
        """Lines of the newest `limit` invocations, oldest first."""
        records = list(islice(self._records(), limit))
        self.found = len(records)
        self._mark(records)
        return self._lines(records)

    def fresh(self) -> list[ShownLine]:
        """Lines of invocations that came since the last reading, oldest first.

        A record comes when its invocation ends, but is listed by its start. So one page with nothing
        new ends the search: an invocation is missed only when a whole page started after it and
        ended before it.
        """
        records: list[dict[str, Any]] = []
        new_on_page = False
        for place, record in enumerate(islice(self._records(_recently()), SEEN_MAX), 1):
            if record["RequestId"] not in self._seen:
                self._mark([record])
                records.append(record)
                new_on_page = True
            if place % PAGE_SIZE == 0:
                if not new_on_page:
                    break
                new_on_page = False
        return self._lines(records)

    def _records(self, from_ms: int = 0) -> Iterator[dict[str, Any]]:
        """Newest first. `from_ms` narrows what is wanted."""
        since_ms = max(from_ms, self._wanted.since_ms or 0) or None
        parameters = {**self._wanted.parameters(), "FromDate": since_ms}
        return self._client.items("ListFunctionLog", parameters, key="DataList")

    def _mark(self, newest_first: list[dict[str, Any]]) -> None:
        self._seen |= {record["RequestId"]: None for record in reversed(newest_first)}
        while len(self._seen) > 2 * SEEN_MAX:
            del self._seen[next(iter(self._seen))]

    def _lines(self, newest_first: list[dict[str, Any]]) -> list[ShownLine]:
        return [line for record in reversed(newest_first) for line in self._lines_of(record)]

    def _lines_of(self, record: dict[str, Any]) -> Iterator[ShownLine]:
        lowest = _LEVELS.index(self._wanted.level) if self._wanted.level else 0
        rows = zip(record["Timestamps"], record["Levels"], record["Contents"], strict=True)
        for time_text, level, text in rows:
            name = level.lower()
            if name in _LEVELS and _LEVELS.index(name) < lowest:
                continue
            yield ShownLine(
                time_ms=int(time_text),
                level=name,
                request_id=record["RequestId"],
                function=record["FunctionName"],
                text=text,
            )


def _recently() -> int:
    return int((time.time() - FOLLOW_BACK_S) * 1000)


def _print(lines: list[ShownLine], *, as_json: bool) -> None:
    for line in lines:
        if as_json:
            print_json(
                {
                    "timeMs": line.time_ms,
                    "level": line.level,
                    "requestId": line.request_id,
                    "function": line.function,
                    "text": line.text,
                }
            )
            continue
        click.secho(f"{local_time(line.time_ms)} ", fg="bright_black", nl=False)
        click.secho(f"{line.level:<5} ", fg=_COLOURS.get(line.level, "green"), nl=False)
        click.secho(f"{line.request_id} ", fg="bright_black", nl=False)
        click.echo(line.text)
