"""Where the program is and which management key to use: options first, then settings, then data directory."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.cli.errors import CliError, SettingsCliError, UnreachableError
from runtime.data_dir import AccessKey, DataDir

if TYPE_CHECKING:  # loading the settings takes most of the time of a short command
    from runtime.settings import Settings

START_IT = "Start it with `yunhan up` or `yunhan gateway`, or name another one with --endpoint."

_ID, _SECRET, _DATA_DIR = "YUNHAN_ACCESS_KEY_ID", "YUNHAN_ACCESS_KEY_SECRET", "YUNHAN_DATA_DIR"
_DATA_DIR_DEFAULT = ".yunhan"

ASK_GATEWAY = (
    "Ask a gateway: its address with --endpoint, its key (`yunhan keys` there) in"
    f" {_ID} and {_SECRET}."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How to speak to one program."""

    endpoint: str
    key: AccessKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The settings that lead to a program and its key."""

    data_dir: Path
    key_id: str
    key_secret: str = field(repr=False)


def read_settings(*, pass_over_unknown: bool = False) -> Settings:
    """The settings of this command. Raises SettingsCliError (exit code 2)."""
    from runtime.settings import SettingsError, load_settings

    try:
        return load_settings(pass_over_unknown=pass_over_unknown)
    except SettingsError as error:
        raise SettingsCliError(str(error)) from None


def read_access() -> Access:
    """As `access_of(read_settings())`; quick when nothing else is set. Raises SettingsCliError."""
    given = {name: value for name, value in os.environ.items() if name.startswith("YUNHAN_")}
    if given.keys() - {_ID, _SECRET, _DATA_DIR} or given.get(_DATA_DIR) == "":
        return access_of(read_settings())
    return Access(
        data_dir=Path(given.get(_DATA_DIR, _DATA_DIR_DEFAULT)),
        key_id=given.get(_ID, ""),
        key_secret=given.get(_SECRET, ""),
    )


def access_of(settings: Settings) -> Access:
    """The part of the settings that leads to a program."""
    return Access(
        data_dir=settings.data_dir,
        key_id=settings.access_key_id,
        key_secret=settings.access_key_secret.get_secret_value(),
    )


def find_connection(access: Access, endpoint: str | None = None) -> Connection:
    """`endpoint` as given, else of the running program of this data directory.

    Raises UnreachableError when no program says where it is, CliError when there is no key.
    """
    return Connection(endpoint=endpoint or find_endpoint(access), key=find_key(access))


def find_endpoint(access: Access) -> str:
    """Of the program that runs on this data directory. Raises UnreachableError."""
    worker = DataDir(access.data_dir).lone_worker()
    if worker is not None:
        raise UnreachableError(
            f"a worker runs here (process {worker.pid}), which takes no requests.",
            next_step=ASK_GATEWAY,
        )
    data_dir = DataDir(access.data_dir).reached_by_command_line()
    running = data_dir.read_running()
    if running is None:
        raise UnreachableError(f"no program is running for {data_dir.root}.", next_step=START_IT)
    return running.endpoint


def find_key(access: Access) -> AccessKey:
    """YUNHAN_ACCESS_KEY_ID and its secret, else the generated key; the program need not run."""
    if bool(access.key_id) != bool(access.key_secret):
        raise SettingsCliError(f"set both {_ID} and {_SECRET}, or none of them.")
    if access.key_id:
        return AccessKey(key_id=access.key_id, secret=access.key_secret)
    data_dir = DataDir(access.data_dir).reached_by_command_line()
    key = data_dir.read_access_key()
    if key is None:
        raise CliError(
            f"there is no management key in {data_dir.root}.",
            next_step="`yunhan up` and `yunhan gateway` make one at their first start, a worker has none."
            f" For a program elsewhere: its address with --endpoint, its key in {_ID} and {_SECRET}.",
        )
    return key
