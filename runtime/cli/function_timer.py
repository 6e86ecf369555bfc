"""Options of `yunhan function set` for a timer, and what `yunhan function show` says of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from runtime.cli.client import ManagementClient, Parameter
from runtime.cli.output import local_time

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerOptions:
    """What the command line says; None = nothing."""

    cron: str | None
    payload: str | None

    @property
    def changes(self) -> dict[str, Parameter]:
        """Parameters of `UpdateFunction`."""
        return {"TimingTriggerConfig": self.cron, "TimingTriggerUserPayload": self.payload}


def timer_options(command: Callable[Concatenate[TimerOptions, P], R]) -> Callable[P, R]:
    """Adds the options and gives the command their meaning as its first argument."""

    @click.option(
        "--timer",
        metavar="CRON",
        help="Run by the clock, in UTC+8: second minute hour day month weekday, e.g. '0 30 8 * * MON-FRI'.",
    )
    @click.option(
        "--timer-payload", metavar="TEXT", help="What the function gets as ctx.args.userPayload."
    )
    @click.option("--no-timer", is_flag=True, help="Run by the clock no more.")
    @functools.wraps(command)
    def parsed(*args: P.args, **kwargs: P.kwargs) -> R:
        cron: Any = kwargs.pop("timer")
        payload: Any = kwargs.pop("timer_payload")
        if kwargs.pop("no_timer"):
            if cron:
                raise click.UsageError("--timer and --no-timer exclude each other")
            cron = ""
        return command(TimerOptions(cron=cron, payload=payload), *args, **kwargs)

    return parsed


def list_timers(client: ManagementClient, space_id: str, **parameters: Parameter) -> list[Any]:
    """Rows of `YunhanListTimers`, as JSON for scripts."""
    told = client.call("YunhanListTimers", {"SpaceId": space_id, **parameters})
    return [
        {
            "function": row["Name"],
            "cron": row["TimingTriggerConfig"],
            "payload": row["TimingTriggerUserPayload"],
            "deployed": row["Deployed"],
            "next": row["Next"],
            "lastTick": row.get("LastTick"),
            "lastJobId": row.get("LastJobId"),
            "fired": row["Fired"],
            "missed": row["Missed"],
            "skipped": row["Skipped"],
        }
        for row in told["Timers"]
    ]


def describe_timer(client: ManagementClient, space_id: str, name: str) -> dict[str, Any] | None:
    """A function's timer with its next ticks."""
    rows = list_timers(client, space_id, Name=name)
    return rows[0] if rows else None


def timer_fields(timer: dict[str, Any]) -> dict[str, str]:
    """For people; times in the time zone of this machine."""
    last = timer["lastTick"]
    return {
        "Timer": f"{timer['cron']} (UTC+8)",
        "Timer payload": timer["payload"] or "none",
        "Next ticks": ", ".join(map(moment, timer["next"])),
        "Last tick": f"{moment(last)}, job {timer['lastJobId']}" if last else "none yet",
        "Ticks": ", ".join(f"{timer[name]} {name}" for name in ("fired", "missed", "skipped")),
    }


def moment(time: str) -> str:
    """A tick is a whole second."""
    return local_time(time).replace(".000", "")
