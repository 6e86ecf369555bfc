"""Which environment variables a function may have. Pure; refusals never quote a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from runtime.errors import InvalidParameterError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SHOWN_MAX = 40

_OURS_PREFIXES = ("YUNHAN_", "MP_")
_OURS = frozenset({"FC_FUNCTION_NAME"})
"""Set by the platform; a function must be able to trust them."""

_SANDBOX = frozenset(
    {"PATH", "HOME", "TMPDIR", "TMP", "TEMP", "PWD", "OLDPWD", "SHELL", "USER", "LOGNAME", "IFS"}
)
"""Say where and as whom a sandbox runs, which depends on its rung."""

_AT_START_PREFIXES = ("LD_", "DYLD_", "GLIBC_", "MALLOC_", "UV_", "NODE_CHANNEL_", "NODE_REPL_")
_AT_START = frozenset(
    {
        "BASH_ENV",
        "ENV",
        "GCONV_PATH",
        "LOCPATH",
        "NODE_COMPILE_CACHE",
        "NODE_DEBUG",
        "NODE_DEBUG_NATIVE",
        "NODE_DISABLE_COMPILE_CACHE",
        "NODE_EXTRA_CA_CERTS",
        "NODE_ICU_DATA",
        "NODE_NO_WARNINGS",
        "NODE_OPTIONS",
        "NODE_PATH",
        "NODE_PENDING_DEPRECATION",
        "NODE_PRESERVE_SYMLINKS",
        "NODE_PRESERVE_SYMLINKS_MAIN",
        "NODE_REDIRECT_WARNINGS",
        "NODE_TEST_CONTEXT",
        "NODE_UNIQUE_ID",
        "NODE_USE_ENV_PROXY",
        "NODE_USE_SYSTEM_CA",
        "NODE_V8_COVERAGE",
        "OPENSSL_CONF",
        "OPENSSL_MODULES",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
    }
)
"""Read by the loader, the C library, Node.js or a shell when a process starts. A sandbox runs before its
function is known: there they would do nothing, and in the function's child processes something."""

_OF_OBJECTS = frozenset({"__proto__"})
"""Not a property like others wherever JavaScript copies `process.env` into an object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvLimits:
    """Bounds of one function's variables; bytes are those of names and values in UTF-8."""

    variables_max: int
    max_bytes: int


def check_env_name(name: str, *, parameter: str = "Set") -> None:
    """Raises InvalidParameterError."""
    shown = name[:_SHOWN_MAX]
    if not _NAME.fullmatch(name):
        why = (
            "is no name of an environment variable: letters, digits and _, at most 128,"
            " no digit first"
        )
    elif name.startswith(_OURS_PREFIXES) or name in _OURS:
        why = "is set by the platform itself; take another name"
    elif name in _SANDBOX:
        why = "belongs to the sandbox; take another name"
    elif name.startswith(_AT_START_PREFIXES) or name in _AT_START:
        why = "is read when a process starts, and a sandbox starts before it has a function"
    elif name in _OF_OBJECTS:
        why = "is a special name of JavaScript; take another one"
    else:
        return
    raise InvalidParameterError(parameter, f"{shown!r} {why}")


def check_env_value(name: str, value: object, *, parameter: str = "Set") -> str:
    """The value, which is text. Raises InvalidParameterError."""
    if not isinstance(value, str):
        raise InvalidParameterError(parameter, f"the value of {name} is no text")
    if "\0" in value:
        raise InvalidParameterError(parameter, f"the value of {name} holds a NUL character")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidParameterError(
            parameter, f"the value of {name} is no Unicode text: it holds half a surrogate pair"
        )
    return value


def env_bytes(env: Mapping[str, str]) -> int:
    """What counts against `EnvLimits.max_bytes`."""
    return sum(len(name) + len(value.encode()) for name, value in env.items())


def check_env_bounds(env: Mapping[str, str], limits: EnvLimits, *, parameter: str = "Set") -> None:
    """Raises InvalidParameterError for too many or too long variables."""
    if len(env) > limits.variables_max:
        raise InvalidParameterError(
            parameter,
            f"a function has at most {limits.variables_max} environment variables"
            f" (YUNHAN_FUNCTION_ENV_MAX), this would be {len(env)}",
        )
    size = env_bytes(env)
    if size > limits.max_bytes:
        raise InvalidParameterError(
            parameter,
            f"the environment variables of a function have at most {limits.max_bytes} bytes"
            f" (YUNHAN_FUNCTION_ENV_MAX_BYTES), names and values, this would be {size}",
        )
