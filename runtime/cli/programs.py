"""Runs one of the three programs; errors of its start are a sentence and an exit code."""

from __future__ import annotations

import sys
from typing import NoReturn

from runtime.cli.connection import read_settings
from runtime.cli.errors import CliError, SettingsCliError


def run(command: str) -> NoReturn:
    """`yunhan up`, `gateway` or `worker`; ends this process. Raises CliError."""
    # Late: a short command must not load the server.
    from runtime import lifecycle
    from runtime.data_dir import DataDirError
    from runtime.errors import YunhanError
    from runtime.observe import configure_log
    from runtime.sealing import MasterKeyError
    from runtime.settings import SettingsError
    from runtime.tls.local_ca import LocalCaError
    from runtime.wiring.listeners import StartError
    from runtime.wiring.roles import Role
    from sandbox.api import SandboxError

    plain = (DataDirError, MasterKeyError, LocalCaError)  # they say themselves what to do
    examined = (SandboxError, YunhanError)
    settings = read_settings()
    configure_log(log_format=settings.log_format, level=settings.log_level)
    try:
        status = lifecycle.run_program(Role(command), settings)
    except Exception as error:
        cause = _only_cause(error)
        if isinstance(cause, SettingsError):
            raise SettingsCliError(f"{cause}") from error
        if isinstance(cause, StartError):
            free = f"Stop that program, or set {cause.variable} to a free host:port."
            raise CliError(f"{cause}", next_step=free) from error
        if isinstance(cause, plain):
            raise CliError(f"{cause}") from error
        if isinstance(cause, examined):
            raise CliError(f"{cause}", next_step="`yunhan doctor` says what is missing.") from error
        raise
    sys.exit(status)


def _only_cause(error: Exception) -> Exception:
    """The one error inside groups that hold nothing else."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
