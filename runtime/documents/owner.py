"""Owner rules become filters, and the documents that a client makes get its user id. Pure.

Before this: `parse`, `operators`, which see what the caller sent. After this: the port; answers go through
`without_owner`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from runtime.documents.errors import BAD_VALUE, DatabaseError
from runtime.documents.expressions import NOBODY
from runtime.documents.hidden import (
    INSERTED_FIELD,
    OWNER_FIELD,
    narrowed,
    refuse_hidden,
    without_owner,
)
from runtime.documents.owned_pipelines import (
    WRITING_STAGES,
    foreign_collections,
    owned_pipeline,
    stages_within,
)
from runtime.documents.rules import ALLOW, Decision, Rules, operation_of
from runtime.errors import CallerError
from runtime.messages import ADMINISTRATION, DocumentCommand, Verb
from runtime.rule_json import Operation

__all__ = [
    "OWNER_FIELD",
    "PermissionDeniedError",
    "answers_nothing",
    "asked_verb",
    "for_client",
    "for_trusted",
    "reads_everything",
    "refuse_by_rules",
    "refuse_hidden",
    "under_decision",
    "without_owner",
]

_FILTERS = {
    Verb.COUNT: "query",
    Verb.DISTINCT: "query",
    Verb.FIND: "query",
    Verb.FIND_ONE: "query",
    Verb.UPDATE_ONE: "filter",
    Verb.UPDATE_MANY: "filter",
    Verb.REPLACE_ONE: "filter",
    Verb.FIND_ONE_AND_UPDATE: "filter",
    Verb.FIND_ONE_AND_REPLACE: "filter",
    Verb.FIND_ONE_AND_DELETE: "filter",
    Verb.DELETE_ONE: "filter",
    Verb.DELETE_MANY: "filter",
}
_INSERTS = frozenset({Verb.INSERT_ONE, Verb.INSERT_MANY})
_UPDATES = frozenset({Verb.UPDATE_ONE, Verb.UPDATE_MANY, Verb.FIND_ONE_AND_UPDATE})
_REPLACEMENTS = {Verb.REPLACE_ONE: "doc", Verb.FIND_ONE_AND_REPLACE: "replacement"}
_AS_UPDATE = {
    Verb.REPLACE_ONE: Verb.UPDATE_ONE,
    Verb.FIND_ONE_AND_REPLACE: Verb.FIND_ONE_AND_UPDATE,
}
_AS_REPLACEMENT = {update: replacement for replacement, update in _AS_UPDATE.items()}
_RETURNING = frozenset(
    {Verb.FIND_ONE_AND_UPDATE, Verb.FIND_ONE_AND_REPLACE, Verb.FIND_ONE_AND_DELETE}
)
"""Writes that answer a document."""
_TRANSACTIONS = frozenset({Verb.START_TRANSACTION, Verb.COMMIT_TRANSACTION, Verb.ABORT_TRANSACTION})


class PermissionDeniedError(CallerError):
    """The access rules of the space refuse it."""

    def __init__(self, collection: str, operation: str, message: str = "") -> None:
        super().__init__(
            "PermissionDenied",
            f"the access rules refuse {operation} of collection {collection[:120]!r}{message};"
            " they are changed on the management side",
        )


def for_client(command: DocumentCommand, rules: Rules, user_id: str | None) -> DocumentCommand:
    """What a client's command becomes under the rules of its space.

    Raises PermissionDeniedError, and DatabaseError for what names the hidden field. Commands about
    transactions go through: what runs in one is asked by itself."""
    if command.verb in _TRANSACTIONS:
        return command
    decision = _decided(command, rules, user_id)
    refuse_hidden(command)
    if command.verb is Verb.AGGREGATE:
        _check_joins(command, rules, user_id)
    return under_decision(command, decision, user_id)


def refuse_by_rules(command: DocumentCommand, rules: Rules, user_id: str | None) -> None:
    """What verb and collection alone decide, to be asked before arguments are looked at. Raises
    PermissionDeniedError as `for_client`."""
    if command.verb not in _TRANSACTIONS:
        _refuse_insert(command, _decided(command, rules, user_id), user_id)


def _decided(command: DocumentCommand, rules: Rules, user_id: str | None) -> Decision:
    """A write that answers a document is made on those only that may be read, too, where there are such."""
    if command.verb in ADMINISTRATION:
        raise PermissionDeniedError(command.collection, command.verb)
    decision = rules.decide(command.collection, operation := operation_of(command.verb), user_id)
    if decision.refused:
        raise PermissionDeniedError(command.collection, operation)
    if command.verb not in _RETURNING:
        return decision
    both = decision.owners & rules.decide(command.collection, Operation.READ, user_id).owners
    return decision if both == NOBODY else Decision(both)


def answers_nothing(command: DocumentCommand, rules: Rules, user_id: str | None) -> bool:
    """Whether the document that a client's write answers is kept from it: `.write` alone decides about the
    write (spec §7), but nothing is shown that nobody let it read."""
    if command.verb not in _RETURNING:
        return False
    write, read = (
        rules.decide(command.collection, operation, user_id).owners
        for operation in (Operation.WRITE, Operation.READ)
    )
    return write & read == NOBODY


def for_trusted(command: DocumentCommand, user_id: str | None = None) -> DocumentCommand:
    """What the command of a function or a server becomes: no rule holds, but owners stay hidden and kept.
    `user_id` becomes the owner of what it inserts. Raises DatabaseError as `for_client`."""
    if command.verb in _TRANSACTIONS:
        return command
    refuse_hidden(command)
    return under_decision(command, ALLOW, user_id)


def reads_everything(command: DocumentCommand, rules: Rules, user_id: str | None) -> bool:
    """Whether a client may read every document of the command's collection."""
    return rules.decide(command.collection, Operation.READ, user_id).allowed


def asked_verb(command: DocumentCommand) -> Verb:
    """The verb that the caller sent, for messages: only a replacement is an update by a pipeline."""
    if isinstance(command.arguments.get("update"), list):
        return _AS_REPLACEMENT.get(command.verb, command.verb)
    return command.verb


def under_decision(
    command: DocumentCommand, decision: Decision, user_id: str | None
) -> DocumentCommand:
    """A command that touches and counts only documents whose owners are let through, and gives those that it
    inserts to `user_id`, if there is one. Replaced documents keep their owner.

    Raises PermissionDeniedError for an insert (also by an upsert) of a document that the decision would not
    let through, DatabaseError for an update that is none and for options that look past the owner."""
    user_id = user_id or None
    owner = decision.filter
    verb = command.verb
    if decision.refused:
        raise PermissionDeniedError(command.collection, operation_of(verb))
    if owner is not None:
        _refuse_looking_past(command)
    inserts = _refuse_insert(command, decision, user_id)
    if verb is Verb.AGGREGATE:
        return _with(command, pipeline=owned_pipeline(command.arguments.get("pipeline"), owner))
    if verb is Verb.INSERT_ONE:
        return _with(command, doc=_stamped(command.arguments.get("doc"), user_id))
    if verb is Verb.INSERT_MANY:
        docs = [_stamped(each, user_id) for each in command.arguments.get("docs", ())]
        return _with(command, docs=docs)
    if verb in _UPDATES:
        command = _update(command, user_id if inserts else None)
    elif verb in _REPLACEMENTS:
        sole = user_id if decision.owners.named == {user_id} and not decision.owners.but else None
        command = _replacement(command, sole=sole, inserter=user_id if inserts else None)
    if owner is not None and verb in _FILTERS:
        command = _filtered(command, owner)
    return command


def _refuse_insert(command: DocumentCommand, decision: Decision, user_id: str | None) -> bool:
    """Whether the command may insert; raises PermissionDeniedError when the decision does not let it."""
    inserts = command.verb in _INSERTS or bool(command.options.get("upsert"))
    if inserts and (user_id or None) not in decision.owners:
        raise PermissionDeniedError(
            command.collection,
            operation_of(command.verb),
            ": a new document would not be the caller's own",
        )
    return inserts


def _check_joins(command: DocumentCommand, rules: Rules, user_id: str | None) -> None:
    pipeline = command.arguments.get("pipeline")
    for name, _ in stages_within(pipeline):
        if name in WRITING_STAGES:
            raise PermissionDeniedError(command.collection, f"{name} in an aggregation")
    for foreign in sorted(foreign_collections(pipeline)):
        if not rules.decide(foreign, Operation.READ, user_id).allowed:
            raise PermissionDeniedError(
                foreign, Operation.READ, ": an aggregation joins only what everybody may read"
            )


def _refuse_looking_past(command: DocumentCommand) -> None:
    """A collation can make two users one; a plan counts documents of others."""
    for option in ("collation", "explain"):
        if command.options.get(option):
            raise DatabaseError(
                BAD_VALUE, f"the option {option} cannot be used where the access rule is by owner"
            )


def _filtered(command: DocumentCommand, condition: Mapping[str, Any]) -> DocumentCommand:
    name = _FILTERS[command.verb]
    return _with(command, **{name: narrowed(condition, command.arguments.get(name))})


def _update(command: DocumentCommand, inserter: str | None) -> DocumentCommand:
    update = command.arguments.get("update")
    if not isinstance(update, Mapping) or not all(key.startswith("$") for key in update):
        raise DatabaseError(BAD_VALUE, "an update is an object of operators such as $set")
    if inserter is None:
        return command
    on_insert = update.get("$setOnInsert", {})
    if not isinstance(on_insert, Mapping):
        raise DatabaseError(BAD_VALUE, "$setOnInsert takes an object")
    stamped = {**update, "$setOnInsert": _stamped(on_insert, inserter)}
    return _with(command, update=stamped)


def _replacement(
    command: DocumentCommand, *, sole: str | None, inserter: str | None
) -> DocumentCommand:
    """With one possible owner, before as after, the replacement has it. Else the database has to copy it,
    which only an update by a pipeline does."""
    name = _REPLACEMENTS[command.verb]
    document = command.arguments.get(name)
    if not isinstance(document, Mapping) or any(key.startswith("$") for key in document):
        raise DatabaseError(BAD_VALUE, "a replacement is a document without operators")
    if sole is not None:
        return _with(command, **{name: _stamped(document, sole)})
    owner: Any = f"${OWNER_FIELD}"
    if inserter is not None:
        found = {"$eq": [{"$type": f"${INSERTED_FIELD}"}, "missing"]}
        owner = {"$cond": [found, owner, {"$literal": inserter}]}
        command = _filtered(command, {INSERTED_FIELD: None})
    parts = [{"_id": "$_id"}, {"$literal": dict(document)}, {OWNER_FIELD: owner}]
    others = {key: value for key, value in command.arguments.items() if key != name}
    return replace(
        command,
        verb=_AS_UPDATE[command.verb],
        arguments={**others, "update": [{"$replaceWith": {"$mergeObjects": parts}}]},
    )


def _stamped(document: Any, user_id: str | None) -> Any:
    return document if user_id is None else {**document, OWNER_FIELD: user_id}


def _with(command: DocumentCommand, **arguments: Any) -> DocumentCommand:
    return replace(command, arguments={**command.arguments, **arguments})
