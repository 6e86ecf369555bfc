"""Commands on their way to a space's database: parsed, checked, put under their rules.

That takes some microseconds for each value of a command, so that large commands are checked in a thread:
one for clients and one for all others, who do not wait for clients. What waits is bounded by the requests
that the gateway holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final, TypeVar

from runtime.documents.arithmetic import interpretable
from runtime.documents.errors import BAD_VALUE, DatabaseError
from runtime.documents.operators import OperatorLimits, check_command
from runtime.documents.owner import for_client, for_trusted, refuse_by_rules
from runtime.documents.parse import parse_command, parse_head, parse_management
from runtime.documents.rules import Rules
from runtime.documents.walk import has_more_values
from runtime.messages import DocumentCommand

_AT_ONCE: Final = 500
"""Values of a command that is checked in the event loop: at worst about 20 ms."""
_AT_ONCE_CHARACTERS: Final = 16 * 1024
"""Of a command that is not read yet."""

Made = TypeVar("Made")


class CommandChecks:
    """All methods raise CallerError (DatabaseError, PermissionDeniedError, InvalidParameterError)."""

    def __init__(self, limits: OperatorLimits, *, client_values: int) -> None:
        """`client_values`: as `OperatorLimits.values`, of clients."""
        self._limits = limits
        self._client_limits = replace(limits, values=client_values)
        self._clients = _thread("database-checks-clients")
        self._others = _thread("database-checks")

    async def of_client(
        self, params: Mapping[str, Any], rules: Rules, user_id: str | None
    ) -> tuple[DocumentCommand, DocumentCommand]:
        """What was asked, and what it becomes. A client that may not is refused before anything is looked at
        whose cost grows with the command."""
        refuse_by_rules(parse_head(params), rules, user_id)

        def check() -> tuple[DocumentCommand, DocumentCommand]:
            asked = _checked(params, self._client_limits)
            return asked, for_client(asked, rules, user_id)

        return await _run(check, self._clients if _is_large(params) else None)

    async def of_trusted(self, params: Mapping[str, Any], user_id: str | None) -> DocumentCommand:
        """`user_id` becomes the owner of what is inserted."""
        return await _run(
            lambda: for_trusted(_checked(params, self._limits), user_id),
            self._others if _is_large(params) else None,
        )

    async def of_management(self, body: str) -> DocumentCommand:
        """One command as JSON text."""

        def check() -> DocumentCommand:
            return for_trusted(_admitted(parse_management(body), self._limits))

        return await _run(check, self._others if len(body) > _AT_ONCE_CHARACTERS else None)


def _thread(name: str) -> ThreadPoolExecutor:
    """Starts with its first command; ends when nothing refers to it."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)


async def _run(check: Callable[[], Made], thread: ThreadPoolExecutor | None) -> Made:
    """A check that nobody waits for any more is not begun."""
    if thread is None:
        return check()
    return await asyncio.get_running_loop().run_in_executor(thread, check)


def _is_large(params: Mapping[str, Any]) -> bool:
    return has_more_values(_containers(params), _AT_ONCE)


def _containers(params: Mapping[str, Any]) -> list[Any]:
    return [each for each in params.values() if isinstance(each, dict | list)]


def _checked(params: Mapping[str, Any], limits: OperatorLimits) -> DocumentCommand:
    """Too many values are refused before each is looked at."""
    containers = _containers(params)
    if has_more_values(containers, limits.values + len(containers)):
        raise DatabaseError(BAD_VALUE, f"a command has more than {limits.values} values")
    return _admitted(parse_command(params), limits)


def _admitted(command: DocumentCommand, limits: OperatorLimits) -> DocumentCommand:
    """As the database is asked, when it may be."""
    check_command(command, limits)
    return interpretable(command) if limits.interpreted else command
