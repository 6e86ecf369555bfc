"""Options of `yunhan function set` for environment variables, and what `yunhan function env` prints."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Concatenate, ParamSpec, TypeVar

import click

from runtime.cli.client import ManagementClient, Parameter
from runtime.cli.env_file import EnvFileError, read_env_file, write_env_file
from runtime.cli.errors import CliError
from runtime.cli.output import note, print_json

P = ParamSpec("P")
R = TypeVar("R")

FILE_MAX_BYTES = 1024 * 1024
"""Far beyond what a function may have; a file that was named by mistake may be of any size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvOptions:
    """What the command line says about a function's variables."""

    set: Mapping[str, str] = field(default_factory=dict, repr=False)
    unset: Sequence[str] = ()
    clear: bool = False

    @property
    def given(self) -> bool:
        return bool(self.set or self.unset or self.clear)


def env_options(
    command: Callable[Concatenate[EnvOptions, P], R],
) -> Callable[P, R]:
    """Adds the options and gives the command their meaning as its first argument."""

    @click.option(
        "--env",
        "env",
        multiple=True,
        metavar="NAME=VALUE",
        help="Set an environment variable; can be repeated. Others on this machine may see a command"
        " line: for secrets take --env-file.",
    )
    @click.option(
        "--env-file",
        type=click.File("rb"),
        metavar="FILE",
        help="Set the variables of a file of NAME=VALUE lines; - is stdin. --env wins over it.",
    )
    @click.option(
        "--unset-env",
        multiple=True,
        metavar="NAME",
        help="Remove an environment variable; can be repeated.",
    )
    @click.option("--clear-env", is_flag=True, help="Remove all that are not set by this command.")
    @functools.wraps(command)
    def parsed(*args: P.args, **kwargs: P.kwargs) -> R:
        options = _parse(
            _texts(kwargs.pop("env")),
            kwargs.pop("env_file"),  # type: ignore[arg-type]  # click made it
            _texts(kwargs.pop("unset_env")),
            clear=bool(kwargs.pop("clear_env")),
        )
        return command(options, *args, **kwargs)

    return parsed


def change_env(client: ManagementClient, space_id: str, name: str, options: EnvOptions) -> None:
    """One call; says which variables the function has then. Values are not shown."""
    parameters: dict[str, Parameter] = {"SpaceId": space_id, "Name": name}
    if options.clear:
        parameters["Clear"] = True
    if options.unset:
        parameters["Unset"] = json.dumps(list(options.unset))
    if options.set:
        parameters["Set"] = json.dumps(dict(options.set))
    answer = client.call("YunhanUpdateFunctionEnv", parameters)
    names = [each["Name"] for each in answer["Variables"]]
    note(f"Environment variables of {name}: {', '.join(names) or 'none'}.")


def print_env(
    client: ManagementClient, space_id: str, name: str, *, show_values: bool, as_json: bool
) -> None:
    """Names, one a line; with values a text that `--env-file` reads."""
    answer = client.call(
        "YunhanDescribeFunctionEnv",
        {"SpaceId": space_id, "Name": name, "ShowValues": show_values},
    )
    rows = answer["Variables"]
    if as_json:
        print_json(
            {
                "function": name,
                "variables": [
                    {"name": row["Name"], "value": row["Value"]}
                    if show_values
                    else {"name": row["Name"]}
                    for row in rows
                ],
                "bytes": answer["Bytes"],
                "bytesMax": answer["BytesMax"],
            }
        )
    elif not rows:
        note(f"Function {name} has no environment variables.")
    elif show_values:
        env = {row["Name"]: row["Value"] for row in rows}
        click.echo(write_env_file(env), nl=False)
    else:
        for row in rows:
            click.echo(row["Name"])


def _parse(
    pairs: Sequence[str], file: BinaryIO | None, unset: Sequence[str], *, clear: bool
) -> EnvOptions:
    """Raises UsageError and CliError, which quote no value."""
    given: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise click.UsageError("--env takes NAME=VALUE")
        if name in given:
            raise click.UsageError(f"--env sets {name} more than once")
        given[name] = value
    if clear and unset:
        raise click.UsageError("--clear-env and --unset-env exclude each other")
    both = sorted(set(unset) & set(given))
    if both:
        raise click.UsageError(f"{both[0]} is in --env and in --unset-env")
    from_file = {} if file is None else _read(file)
    wanted = {name: value for name, value in from_file.items() if name not in unset}
    return EnvOptions(set={**wanted, **given}, unset=unset, clear=clear)


def _read(file: BinaryIO) -> dict[str, str]:
    name = getattr(file, "name", "<stdin>")  # a stream that stands in for stdin may have none
    shown = "stdin" if name == "<stdin>" else name
    try:
        content = file.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise CliError(f"{shown} cannot be read: {error.strerror}.") from None
    if len(content) > FILE_MAX_BYTES:
        raise CliError(f"{shown} has more than {FILE_MAX_BYTES} bytes.", code="NoEnvFile")
    try:
        return read_env_file(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise CliError(f"{shown} is no text in UTF-8.", code="NoEnvFile") from None
    except EnvFileError as error:
        raise CliError(f"{shown}: {error}.", code="NoEnvFile") from None


def _texts(values: object) -> list[str]:
    assert isinstance(values, tuple)
    return [str(value) for value in values]
