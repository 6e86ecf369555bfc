"""Every setting, in one place: name, unit, default, reason.

Each field is the environment variable `YUNHAN_<FIELD NAME IN CAPITALS>`. A variable that starts with
`YUNHAN_` but is no setting is refused with the nearest name, because a misspelt limit that is silently
ignored is worse than a program that does not start. `yunhan config show` prints them all.

One module for each group of settings; `model` puts them together, `reading` takes them from the environment,
`showing` tells them, `secret_files` reads the secrets that they name files for.
"""

from runtime.settings.fields import KIB, MIB
from runtime.settings.model import PREFIX, Settings
from runtime.settings.reading import SettingsError, load_settings, unknown_in
from runtime.settings.secret_files import secret_in
from runtime.settings.showing import SettingRow, describe

__all__ = [
    "KIB",
    "MIB",
    "PREFIX",
    "SettingRow",
    "Settings",
    "SettingsError",
    "describe",
    "load_settings",
    "secret_in",
    "unknown_in",
]
