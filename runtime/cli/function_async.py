"""Options of `yunhan function set` for asynchronous jobs, and what `yunhan function show` says of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from runtime.cli.client import ManagementClient, Parameter

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncOptions:
    """What the command line says; None = nothing. Seconds."""

    attempts: int | None = None
    backoff: float | None = None
    backoff_longest: float | None = None
    retry_errors: bool | None = None
    http_async: bool | None = None

    @property
    def given(self) -> bool:
        return any(getattr(self, each.name) is not None for each in fields(self))


def async_options(command: Callable[Concatenate[AsyncOptions, P], R]) -> Callable[P, R]:
    """Adds the options and gives the command their meaning as its first argument."""

    @click.option(
        "--attempts", type=int, metavar="N", help="Attempts at an asynchronous job: 1 to 10."
    )
    @click.option(
        "--backoff",
        type=float,
        metavar="S",
        help="Seconds before the second attempt; doubled for each further one.",
    )
    @click.option(
        "--backoff-longest", type=float, metavar="S", help="Longest wait between two attempts."
    )
    @click.option(
        "--retry-errors/--no-retry-errors",
        default=None,
        help="Also try again what the function itself did wrong (errors, time-outs).",
    )
    @click.option(
        "--http-async/--no-http-async",
        default=None,
        help="Requests to the HTTP trigger may ask for a job (X-Yunhan-Invocation: async).",
    )
    @functools.wraps(command)
    def parsed(*args: P.args, **kwargs: P.kwargs) -> R:
        given: dict[str, Any] = {each.name: kwargs.pop(each.name) for each in fields(AsyncOptions)}
        return command(AsyncOptions(**given), *args, **kwargs)

    return parsed


def change_async(client: ManagementClient, space_id: str, name: str, options: AsyncOptions) -> None:
    """One call; the next job has it."""
    parameters: dict[str, Parameter] = {
        "SpaceId": space_id,
        "Name": name,
        "Attempts": options.attempts,
        "BackoffMs": _milliseconds(options.backoff),
        "BackoffLongestMs": _milliseconds(options.backoff_longest),
        "RetryErrors": options.retry_errors,
        "Http": options.http_async,
    }
    client.call("YunhanUpdateFunctionAsync", parameters)


def in_numbers(told: Mapping[str, Any]) -> dict[str, Any]:
    """What holds for the function's next asynchronous job, from an answer."""
    return {
        "attempts": told["Attempts"],
        "backoffS": told["BackoffMs"] / 1000,
        "backoffLongestS": told["BackoffLongestMs"] / 1000,
        "retryErrors": told["RetryErrors"],
        "http": told["Http"],
    }


def async_text(described: Mapping[str, Any]) -> str:
    """The same for people."""
    tries = described["attempts"]
    text = "1 attempt" if tries == 1 else f"{tries} attempts"
    if tries > 1:
        text += f", {described['backoffS']:g} to {described['backoffLongestS']:g} s apart"
    if described["retryErrors"]:
        text += "; its own errors are tried again, too"
    if described["http"]:
        text += "; also by its HTTP trigger"
    return text


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
