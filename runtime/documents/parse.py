"""Parameters of a call -> DocumentCommand with the types of the spec (database commands §4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from runtime.documents.errors import (
    BAD_VALUE,
    NO_SUCH_TRANSACTION,
    OPERATION_NOT_IN_TRANSACTION,
    TYPE_MISMATCH,
    DatabaseError,
)
from runtime.documents.names import check_collection, shown
from runtime.documents.options import ARGUMENTS, OPTIONS, known, mapping, text
from runtime.errors import InvalidParameterError
from runtime.messages.documents import IN_TRANSACTION, DocumentCommand, Verb
from sandbox.json_text import parse_json

_TRANSACTION_ID_MAX = 256
_VERBS: Final = {verb.value: verb for verb in Verb}
_ENDS: Final = frozenset({Verb.COMMIT_TRANSACTION, Verb.ABORT_TRANSACTION})
_WITHOUT_COLLECTION: Final = _ENDS | {Verb.START_TRANSACTION, Verb.COLLECTIONS}
_EMPTY_WHEN_ABSENT: Final = frozenset({"query", "filter", "doc", "replacement"})
_ALL_INDEXES: Final = "*"


def parse_command(params: Mapping[str, Any]) -> DocumentCommand:
    """What clients, functions and the server SDK send. Pure; whether the caller may is decided elsewhere.

    Unknown arguments and options are left out. `field` of createIndex comes out as an object,
    `dropIndex` may be `*` (all but that of `_id`), rename has the argument `newName`.
    Raises InvalidParameterError without a known command, else DatabaseError."""
    head = parse_head(params)
    verb = head.verb
    what = f"{verb.value} on collection {head.collection}" if head.collection else verb.value
    options = params.get("options")
    return replace(
        head,
        arguments=_arguments(params, verb, what),
        options=known(
            {} if options is None else mapping(options, f"options of {what}"),
            OPTIONS.get(verb, {}),
            what,
        ),
    )


def parse_head(params: Mapping[str, Any]) -> DocumentCommand:
    """The command without its arguments and options, which costs the same however large these are. Raises as
    `parse_command`."""
    verb = _verb(params.get("command"))
    transaction_id = _transaction_id(params.get("transactionId"), verb)
    return DocumentCommand(
        verb=verb, collection=_collection(params, verb), transaction_id=transaction_id
    )


def parse_management(body: str) -> DocumentCommand:
    """`Body` of RunDBCommand: JSON text of one command, names of the older console SDK included.

    Raises as `parse_command`, and InvalidParameterError when it is no JSON text of an object."""
    try:
        params = parse_json(body)
    except (ValueError, RecursionError) as error:
        raise InvalidParameterError("Body", f"Body is no JSON text: {str(error)[:200]}") from None
    if not isinstance(params, dict):
        raise InvalidParameterError("Body", "Body must be the JSON text of an object")
    return parse_command(_with_new_names(params))


def _with_new_names(params: dict[str, Any]) -> dict[str, Any]:
    match params.get("command"):
        case "create":
            return {"name": params.get("collection"), **params, "command": "createCollection"}
        case "createIndexes":
            return {"field": params.get("fields"), **params, "command": "createIndex"}
        case "dropIndexes":
            return {**params, "command": "dropIndex", "dropIndex": _ALL_INDEXES}
        case "dropIndex" if "indexName" in params:
            return {"dropIndex": params["indexName"], **params}
    return params


def _verb(name: Any) -> Verb:
    verb = _VERBS.get(name) if isinstance(name, str) else None
    if verb is None:
        given = shown(name) if isinstance(name, str) else "that"
        raise InvalidParameterError("command", f"command must name a command; {given} is none")
    return verb


def _transaction_id(given: Any, verb: Verb) -> str | None:
    if given is None or verb is Verb.START_TRANSACTION:
        if verb in _ENDS:
            raise DatabaseError(NO_SUCH_TRANSACTION, f"{verb.value} needs a transactionId")
        return None
    transaction_id = text(given, f"transactionId of {verb.value}")
    if not 1 <= len(transaction_id) <= _TRANSACTION_ID_MAX or not transaction_id.isascii():
        raise DatabaseError(BAD_VALUE, f"transactionId of {verb.value} is not one of ours")
    if verb not in IN_TRANSACTION and verb not in _ENDS:
        raise DatabaseError(
            OPERATION_NOT_IN_TRANSACTION, f"{verb.value} is not possible inside a transaction"
        )
    return transaction_id


def _collection(params: Mapping[str, Any], verb: Verb) -> str:
    if verb in _WITHOUT_COLLECTION:
        return ""  # a commit may say the last one used, which means nothing
    key = "name" if verb is Verb.CREATE_COLLECTION else "collection"
    return check_collection(params.get(key), key)


def _arguments(params: Mapping[str, Any], verb: Verb, what: str) -> dict[str, Any]:
    if verb is Verb.RENAME_COLLECTION:
        return {"newName": check_collection(params.get("newName"), "newName")}
    arguments = {}
    for key, check in ARGUMENTS.get(verb, {}).items():
        if key in params:
            arguments[key] = check(params[key], f"{key} of {what}")
        elif key in _EMPTY_WHEN_ABSENT:
            arguments[key] = {}
        else:
            raise DatabaseError(TYPE_MISMATCH, f"{key} of {what} is missing")
    return arguments
