"""Where the program is and which management key to use: options first, then settings, then data directory."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.cli.errors import CliError, SettingsCliError, UnreachableError
from runtime.data_dir import AccessKey, DataDir
from runtime.settings import Settings, SettingsError, load_settings

START_IT = "Start it with `yunhan up`, or name another one with --endpoint."


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How to speak to one program."""

    endpoint: str
    key: AccessKey


def read_settings() -> Settings:
    """The settings of this command. Raises SettingsCliError (exit code 2)."""
    try:
        return load_settings()
    except SettingsError as error:
        raise SettingsCliError(str(error)) from None


def find_connection(settings: Settings, endpoint: str | None = None) -> Connection:
    """`endpoint` as given, else of the running program of this data directory.

    Raises UnreachableError when no program says where it is, CliError when there is no key.
    """
    return Connection(endpoint=endpoint or find_endpoint(settings), key=find_key(settings))


def find_endpoint(settings: Settings) -> str:
    """Of the program that runs on this data directory. Raises UnreachableError."""
    data_dir = DataDir(settings.data_dir)
    running = data_dir.read_running()
    if running is None:
        raise UnreachableError(f"no program is running for {data_dir.root}.", next_step=START_IT)
    return running.endpoint


def find_key(settings: Settings) -> AccessKey:
    """YUNHAN_ACCESS_KEY_ID and its secret, else the generated key; the program need not run."""
    secret = settings.access_key_secret.get_secret_value()
    if bool(settings.access_key_id) != bool(secret):
        raise SettingsCliError(
            "set both YUNHAN_ACCESS_KEY_ID and YUNHAN_ACCESS_KEY_SECRET, or none of them."
        )
    if settings.access_key_id:
        return AccessKey(key_id=settings.access_key_id, secret=secret)
    data_dir = DataDir(settings.data_dir)
    key = data_dir.read_access_key()
    if key is None:
        raise CliError(
            f"there is no management key in {data_dir.root}.",
            next_step="`yunhan up` makes one at its first start; for a program elsewhere set"
            " YUNHAN_ACCESS_KEY_ID and YUNHAN_ACCESS_KEY_SECRET.",
        )
    return key
