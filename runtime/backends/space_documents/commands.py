"""Which function carries out which command on documents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from runtime.backends.space_documents import reads, writes
from runtime.backends.space_documents.call import Call
from runtime.messages import DocumentAnswer, Verb

_COMMANDS: Final[Mapping[Verb, Callable[[Call], Awaitable[DocumentAnswer]]]] = {
    Verb.AGGREGATE: reads.aggregate,
    Verb.COUNT: reads.count,
    Verb.DISTINCT: reads.distinct,
    Verb.FIND: reads.find,
    Verb.FIND_ONE: reads.find_one,
    Verb.INSERT_ONE: writes.insert_one,
    Verb.INSERT_MANY: writes.insert_many,
    Verb.UPDATE_ONE: writes.update_one,
    Verb.UPDATE_MANY: writes.update_many,
    Verb.REPLACE_ONE: writes.replace_one,
    Verb.FIND_ONE_AND_UPDATE: writes.find_one_and_update,
    Verb.FIND_ONE_AND_REPLACE: writes.find_one_and_replace,
    Verb.FIND_ONE_AND_DELETE: writes.find_one_and_delete,
    Verb.DELETE_ONE: writes.delete_one,
    Verb.DELETE_MANY: writes.delete_many,
}


async def carry_out(call: Call) -> DocumentAnswer:
    """Raises the driver's errors, and DatabaseError."""
    return await _COMMANDS[call.command.verb](call)


def is_document_command(verb: Verb) -> bool:
    """Whether `carry_out` takes it."""
    return verb in _COMMANDS
