"""`redisCli` of functions (server protocol §4): one command at a time, within the keys of their space.

Bounded for the worker and for each space, so that a space with slow commands holds up no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.errors import CallerError, InvalidParameterError, OverloadedError
from runtime.ports.redis import RedisCommands, RedisValue
from runtime.services.redis_table import (
    COMMANDS,
    SECOND,
    WITHOUT_MATCH,
    Bounded,
    check_named,
    key_places,
)
from runtime.settings.redis import RedisSettings
from sandbox.json_text import write_json

_SHOWN_MAX = 40
_DIGITS_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisCliLimits:
    """Sizes in bytes."""

    arguments_max: int
    command_max_bytes: int
    items_max: int
    under_way_max: int
    under_way_max_per_space: int

    @classmethod
    def from_settings(cls, settings: RedisSettings) -> RedisCliLimits:
        """Of the installation."""
        return cls(
            arguments_max=settings.redis_arguments_max,
            command_max_bytes=settings.redis_command_max_bytes,
            items_max=settings.redis_answer_items_max,
            under_way_max=settings.redis_under_way_max,
            under_way_max_per_space=settings.redis_under_way_max_per_space,
        )


class RedisCli:
    """Reads what the SDK sends, and makes what it resolves to. `commands` None: no Redis is set."""

    def __init__(
        self, commands: RedisCommands | None, *, prefix: str, limits: RedisCliLimits
    ) -> None:
        self._commands = commands
        self._prefix = prefix
        self._limits = limits
        self._under_way: Counter[str] = Counter()

    async def run(self, space_id: str, params: Mapping[str, Any]) -> bytes:
        """The answer to `{commands: [name, argument, ...]}` as JSON text: texts (bytes that are no UTF-8 are
        replaced), numbers, null and arrays of them.

        Raises CallerError for what may not be sent and for what Redis refuses, `ServiceNotAvailable` when no
        Redis is set, `RedisNoAnswer` when the command was sent and may have been carried out;
        OverloadedError at once beyond a bound; UnavailableError when it was not carried out."""
        if self._commands is None:
            raise CallerError(
                "ServiceNotAvailable",
                "this installation has no Redis: its operator sets one with YUNHAN_REDIS_URL",
            )
        command = self._read(space_id, params.get("commands"))
        limits = self._limits
        if (
            self._under_way[space_id] >= limits.under_way_max_per_space
            or self._under_way.total() >= limits.under_way_max
        ):
            raise OverloadedError("too many commands of redisCli are under way; try again later")
        self._under_way[space_id] += 1
        try:
            return write_json(_json(await self._commands.call(command)))
        finally:
            self._under_way[space_id] -= 1
            if not self._under_way[space_id]:
                del self._under_way[space_id]

    async def remove_space(self, space_id: str) -> None:
        """Delete all keys of a space. Idempotent; without a Redis there are none. Raises UnavailableError."""
        if self._commands is not None:
            await self._commands.remove(self._space_prefix(space_id))

    def _space_prefix(self, space_id: str) -> bytes:
        return f"{self._prefix}:space:{space_id}:".encode()

    def _read(self, space_id: str, sent: object) -> list[bytes]:
        limits = self._limits
        if not isinstance(sent, list) or not sent or len(sent) > limits.arguments_max:
            raise InvalidParameterError(
                "commands",
                f"commands must be an array of 1 to {limits.arguments_max} texts: a command, its arguments",
            )
        name, *arguments = map(_bytes, sent)
        upper = name.upper().decode(errors="replace")  # of ASCII letters, as Redis has it
        keys = COMMANDS.get(upper)
        if keys is None:
            raise CallerError(
                "RedisCommandNotAllowed",
                f"redisCli does not send {upper[:_SHOWN_MAX]!r}: only commands on keys of the space, one at a"
                " time, that do not wait",
            )
        size = sum(map(len, arguments))
        if size > limits.command_max_bytes:
            raise CallerError(
                "RequestContentLength.Exceeded",
                f"the arguments of {upper} have {size} bytes, the limit is {limits.command_max_bytes}",
            )
        self._check_numbers(upper, arguments)
        try:
            places = key_places(keys, arguments)
            check_named(upper, arguments, places)
        except ValueError as error:
            raise InvalidParameterError("commands", f"{upper}: {error}") from None
        prefix = self._space_prefix(space_id)
        for place in places:
            arguments[place] = prefix + arguments[place]
        return [upper.encode(), *arguments]

    def _check_numbers(self, name: str, arguments: Sequence[bytes]) -> None:
        """What is no number Redis refuses itself."""
        if name in WITHOUT_MATCH and any(each.upper() == b"MATCH" for each in arguments[2:]):
            raise InvalidParameterError(
                "commands", f"{name} is sent without MATCH; filter what it gives instead"
            )
        bounded = SECOND.get(name)
        number = arguments[1] if bounded and len(arguments) > 1 else b""
        highest = {
            None: 0,
            Bounded.COUNT: self._limits.items_max,
            Bounded.BYTE: self._limits.command_max_bytes,
            Bounded.BIT: 8 * self._limits.command_max_bytes,
        }[bounded]
        too_high = number.isdigit() and (len(number) > _DIGITS_MAX or int(number) > highest)
        if too_high or number.startswith(b"-"):
            raise InvalidParameterError(
                "commands", f"the second argument of {name} is from 0 to {highest}"
            )


def _bytes(argument: object) -> bytes:
    """A function's text may hold lone surrogates, which are no UTF-8."""
    if isinstance(argument, str):
        return argument.encode("utf-8", "replace")
    if isinstance(argument, int | float) and not isinstance(argument, bool):
        return str(argument).encode()
    raise InvalidParameterError("commands", "each part of a command must be a text or a number")


def _json(value: RedisValue) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return [_json(each) for each in value]
    return value
