"""`yunhan trigger`: the HTTP triggers of a space."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeAlias

import click

from runtime.cli.client import ManagementClient, Parameter
from runtime.cli.errors import CliError, RemoteError
from runtime.cli.lookup import find_space_id
from runtime.cli.options import json_option, remote_command
from runtime.cli.output import local_time, note, print_fields, print_json, print_table
from runtime.cli.trigger_config import address_fields, describe_triggers, off_note

P = ParamSpec("P")

EXPIRY_WARNING_DAYS = 30
PEM_MAX_BYTES = 64 * 1024
"""Twice what the program takes; a file that was named by mistake may be of any size."""

_UNDER_ANY_PATH = "/http/..."
_CERTIFICATE, _KEY = "CustomDomainCertificate", "CustomDomainPrivateKey"

_space_argument = click.argument("space", metavar="SPACE")
_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group
def trigger() -> None:
    """HTTP triggers of a space. `yunhan function set --http-path` gives a function its path."""


class _Space:
    """The space of a command: `named` is what people call it."""

    def __init__(self, client: ManagementClient, named: str) -> None:
        self.client = client
        self.named = named

    @functools.cached_property
    def id(self) -> str:
        """Asked for when it is needed: wrong usage is told before."""
        return find_space_id(self.client, self.named)

    def triggers(self) -> dict[str, Any]:
        return describe_triggers(self.client, self.id)

    def update(self, changes: dict[str, Parameter]) -> dict[str, Any]:
        """Its triggers afterwards."""
        self.client.call("UpdateHttpTriggerConfig", {"SpaceId": self.id, **changes})
        return self.triggers()

    def functions(self) -> list[dict[str, str]]:
        """Those with a path."""
        items = self.client.items("ListFunction", {"SpaceId": self.id}, key="DataList")
        return [
            {"name": item["Name"], "httpPath": item["HttpTriggerPath"]}
            for item in items
            if item.get("HttpTriggerPath")
        ]


_Answer: TypeAlias = tuple[dict[str, Any], Callable[[], None]]
"""What a command prints as JSON, and how it tells the same to people."""


def _of_space(command: Callable[Concatenate[_Space, P], _Answer]) -> Callable[..., None]:
    """A command for a space, below `_space_argument`: adds --json and --endpoint, prints the answer."""

    @json_option
    @remote_command
    @functools.wraps(command)
    def run(client: ManagementClient, /, *args: P.args, **options: P.kwargs) -> None:
        space, as_json = str(options.pop("space")), options.pop("as_json")
        value, show = command(_Space(client, space), *args, **options)
        if as_json:
            print_json(value)
        else:
            show()

    return run


@trigger.command
@_space_argument
@_of_space
def on(space: _Space) -> _Answer:
    """Answer HTTP requests to the functions that have a path."""
    triggers = space.update({"EnableService": True})

    def show() -> None:
        print_fields(address_fields(triggers, _UNDER_ANY_PATH))
        note(f"The HTTP triggers of {space.id} are on.")
        if not space.functions():
            note(
                "No function has a path yet:"
                f" `yunhan function set NAME --space {space.named} --http-path /http/...` gives it one."
            )

    return triggers, show


@trigger.command
@_space_argument
@_of_space
def off(space: _Space) -> _Answer:
    """Answer no HTTP request; paths and domain are kept."""
    return space.update({"EnableService": False}), lambda: note(
        f"The HTTP triggers of {space.id} are off; `yunhan trigger on {space.named}` ends that."
    )


@trigger.command("show", short_help="Show state, addresses, limits, domain and paths.")
@_space_argument
@_of_space
def show_triggers(space: _Space) -> _Answer:
    """Show state, addresses, limits, custom domain and the functions with a path."""
    triggers, functions = space.triggers(), space.functions()

    def show() -> None:
        _show(triggers, space)
        click.echo()
        rows = [(found["name"], found["httpPath"]) for found in functions]
        print_table(("Function", "HTTP path"), rows)

    return {**triggers, "functions": functions}, show


@trigger.command
@_space_argument
@click.argument("name", required=False)
@click.option(
    "--certificate",
    type=_file,
    metavar="FILE",
    help="PEM: the domain's certificate, then those of its issuers. Not needed behind a proxy.",
)
@click.option("--key", type=_file, metavar="FILE", help="PEM: its private key, without password.")
@click.option("--remove", is_flag=True, help="Give the domain and its certificate up.")
@_of_space
def domain(
    space: _Space, name: str | None, certificate: Path | None, key: Path | None, remove: bool
) -> _Answer:
    """Answer at a domain of your own, too. A space has one; whether its triggers are on is kept."""
    if bool(name) == remove:
        raise click.UsageError("say which domain, or --remove")
    if remove and (certificate or key):
        raise click.UsageError("--remove takes no certificate")
    if bool(certificate) != bool(key):
        raise click.UsageError("--certificate and --key belong together")
    changes: dict[str, Parameter] = {"CustomDomain": name or ""}
    if certificate and key:
        changes |= {_CERTIFICATE: _read_pem(certificate), _KEY: _read_pem(key)}
    enabled = space.triggers()["enabled"]
    try:
        triggers = space.update({"EnableService": enabled, **changes})
    except RemoteError as error:
        raise _naming_the_file(error, certificate, key) from None

    def show() -> None:
        _show(triggers, space)
        if name:
            cname = triggers["customDomainCname"]
            # Names below localhost mean something else on every machine.
            target = "" if cname.endswith(".localhost") else f" (CNAME {cname})"
            note(
                f"Make a DNS record of {name} that leads to this program{target} or to your proxy."
            )

    return triggers, show


@trigger.command
@_space_argument
@click.option("--request-max", type=click.IntRange(min=0), metavar="BYTES", help="Request bodies.")
@click.option(
    "--response-max", type=click.IntRange(min=0), metavar="BYTES", help="Response bodies."
)
@_of_space
def limits(space: _Space, request_max: int | None, response_max: int | None) -> _Answer:
    """Change how long bodies may be; 0 = the default. The next request has it."""
    if request_max is None and response_max is None:
        raise click.UsageError("say what to change, e.g. --request-max 65536")
    space.client.call(
        "YunhanUpdateHttpTriggerLimits",
        {"SpaceId": space.id, "RequestMaxBytes": request_max, "ResponseMaxBytes": response_max},
    )
    triggers = space.triggers()
    return triggers, lambda: _show(triggers, space)


def _read_pem(file: Path) -> str:
    """Errors name the file and never quote it: it may be a private key."""
    try:
        with file.open("rb") as source:
            content = source.read(PEM_MAX_BYTES + 1)
    except OSError as error:
        raise CliError(f"{file} cannot be read: {error.strerror}.") from None
    if len(content) <= PEM_MAX_BYTES and content.isascii() and b"-----BEGIN " in content:
        return content.decode("ascii")
    raise CliError(
        f"{file} is no PEM file.",
        code="NotPem",
        next_step="PEM is text with -----BEGIN ...----- lines; `openssl` makes it of other forms.",
    )


def _naming_the_file(error: RemoteError, certificate: Path | None, key: Path | None) -> RemoteError:
    """The program speaks of its parameters, people of their files."""
    for parameter, file in ((_CERTIFICATE, certificate), (_KEY, key)):
        if file and error.code.startswith(f"Invalid{parameter}"):
            told = f"{file}{error.told.removeprefix(parameter)}"
            return RemoteError(error.code, told, next_step=error.next_step)
    return error


def _show(triggers: dict[str, Any], space: _Space) -> None:
    certificate = triggers["certificate"]
    fields = {
        "HTTP triggers": "on" if triggers["enabled"] else "off",
        **address_fields(triggers, _UNDER_ANY_PATH),
        "Request body": _bound_text(triggers, "request"),
        "Response body": _bound_text(triggers, "response"),
    }
    if certificate:
        fields |= {
            "Certificate": f"for {', '.join(certificate['names'])}",
            "Expires": local_time(certificate["notAfter"]),
        }
    elif triggers["customDomain"]:
        fields["Certificate"] = "none: a proxy has to have it"
    print_fields(fields)
    if not triggers["enabled"]:
        note(off_note(space.named))
    if certificate:
        _warn_of_expiry(space.named, triggers["customDomain"], certificate)


def _bound_text(triggers: dict[str, Any], what: str) -> str:
    bound = triggers[f"{what}MaxBytes"]
    standard = " (the default)" if bound == triggers[f"{what}MaxBytesDefault"] else ""
    return f"at most {bound} bytes{standard}"


def _warn_of_expiry(space: str, name: str, certificate: dict[str, Any]) -> None:
    left = datetime.fromisoformat(certificate["notAfter"]) - datetime.now(UTC)
    if left.days >= EXPIRY_WARNING_DAYS:
        return
    when = "has expired" if left.total_seconds() <= 0 else f"expires in {left.days} days"
    note(
        f"warning: the certificate of {name} {when}; put a new one in its place:"
        f" `yunhan trigger domain {space} {name} --certificate FILE --key FILE`."
    )
