"""Settings from the environment: all that is wrong is told at once."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping

from pydantic import SecretStr, ValidationError

from runtime.settings.fields import SHOWN_MAX, allowed, own_words, without_credentials
from runtime.settings.model import PREFIX, Settings


class SettingsError(Exception):
    """The environment does not make a valid configuration; the text says which variable and why."""


def load_settings(
    environ: Mapping[str, str] | None = None, *, pass_over_unknown: bool = False
) -> Settings:
    """Read the settings from the environment.

    Raises SettingsError, which tells all that is wrong at once; with `pass_over_unknown` unknown
    variables are not (see `unknown_in`), for commands that report them instead.
    """
    environ = os.environ if environ is None else environ
    problems = [] if pass_over_unknown else unknown_in(environ)
    given = {
        name: environ[PREFIX + name.upper()]
        for name in Settings.model_fields
        if PREFIX + name.upper() in environ
    }
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        problems += [
            _bad_value(str(e["loc"][0]), given, e["msg"]) if e["loc"] else own_words(e["msg"])
            for e in error.errors(include_input=False, include_url=False)
        ]
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def unknown_in(environ: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each variable of the environment that looks like a setting but is none."""
    environ = os.environ if environ is None else environ
    problems = []
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        name = variable.removeprefix(PREFIX).lower()
        if variable.isupper() and name in Settings.model_fields:
            continue
        near = difflib.get_close_matches(name, Settings.model_fields, n=1)
        hint = f"; did you mean {PREFIX}{near[0].upper()}?" if near else ""
        problems.append(f"{variable} is no setting{hint} (yunhan config show lists them all)")
    return problems


def _bad_value(name: str, given: Mapping[str, str], message: str) -> str:
    """What is given and what is allowed."""
    info = Settings.model_fields[name]
    value = without_credentials(given.get(name, ""))[:SHOWN_MAX]
    shown = "" if info.annotation is SecretStr else f"={value}"
    return f"{PREFIX}{name.upper()}{shown}: must be {allowed(info) or own_words(message)}"
