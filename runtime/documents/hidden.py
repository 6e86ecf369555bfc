"""The hidden owner of a document: no caller names it, no answer shows it. Pure.

Names are compared as parts of texts, so that paths, index names and `$$ROOT.` forms need no reading; the
price is that no field may contain the name. In documents and the operands of updates only names of fields
count, for the texts there are data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from runtime.documents.errors import BAD_VALUE, DatabaseError
from runtime.messages import DocumentCommand

OWNER_FIELD = "_yunhan_owner"
"""Of a document that a client made: its user id, a text."""

INSERTED_FIELD = f"{OWNER_FIELD}_inserted"
"""Never stored. A filter that wants it to be null holds for every document, and an upsert that finds none
begins with a document that has it: so its pipeline can tell that it inserts."""

_DOCUMENTS = frozenset({"doc", "docs", "replacement"})
_LOGICAL = frozenset({"$and", "$or", "$nor"})
_PIPELINE = "pipeline"
_UPDATE = "update"
_TELLING: Final = tuple(
    each.encode() for each in (OWNER_FIELD, '"$expr"', '"$jsonSchema"', '"$meta"')
)
"""Without any of these in their JSON text, arguments neither name the hidden field nor read past it."""


def refuse_hidden(command: DocumentCommand) -> None:
    """Raises DatabaseError (BadValue) when a command names the hidden field, or could read it without
    naming it: for whatever runs before a pipeline's `$unset` of the field."""
    if _may_tell(command.arguments):
        for name, value in command.arguments.items():
            _refuse_argument(name, value)
    _refuse_names(command.options)
    projection = command.options.get("projection")
    refuse_unnamed(projection)
    _refuse_expression(projection)


def _may_tell(value: Any) -> bool:
    """One fast look, which clears almost every command."""
    try:
        text = orjson.dumps(value)
    except TypeError:  # numbers beyond 64 bits, half characters
        return True
    return any(each in text for each in _TELLING)


def _refuse_argument(name: str, value: Any) -> None:
    if name in _DOCUMENTS:
        _refuse_keys(value)
    elif name == _UPDATE:
        _refuse_in_update(value)
    else:
        _refuse_names(value)
        if name != _PIPELINE:
            refuse_unnamed(value)


def narrowed(condition: Mapping[str, Any], given: Any) -> dict[str, Any]:
    """A filter for what both let through; `condition` is about fields that callers cannot name.

    Its members stand beside the given ones, not around them: within `$and` the embedded database does not
    find the item for `arr.$` of an update. Raises DatabaseError (BadValue) when that is no object."""
    if given is None:
        return dict(condition)
    if not isinstance(given, Mapping):
        raise DatabaseError(BAD_VALUE, "a filter is an object")
    seen = _guard(condition)
    return {**condition, **(given if seen is None else _guarded(given, seen)), **condition}


def _guard(condition: Mapping[str, Any]) -> Any:
    """What a rule wants of the owner, as an expression; None when it wants nothing of it."""
    wanted = condition.get(OWNER_FIELD)
    if wanted is None:
        return None
    ((operator, named),) = wanted.items()
    names = named if operator in {"$in", "$nin"} else [named]
    among = {"$in": [{"$ifNull": [f"${OWNER_FIELD}", None]}, {"$literal": names}]}
    return {"$not": [among]} if operator in {"$ne", "$nin"} else among


def _guarded(filter_: Mapping[str, Any], seen: Any) -> dict[str, Any]:
    """No `$expr` is computed for documents that are not seen: it may fail at one, which tells about it. A
    database chooses by itself in which order it looks at the members of a filter."""
    made: dict[str, Any] = {}
    for key, each in filter_.items():
        if key == "$expr":
            made[key] = {"$cond": [seen, each, False]}
        elif key in _LOGICAL and isinstance(each, list):
            made[key] = [
                _guarded(branch, seen) if isinstance(branch, Mapping) else branch for branch in each
            ]
        else:
            made[key] = each
    return made


def without_owner(value: Any) -> Any:
    """A copy of an answer without the hidden field, at any depth."""
    if isinstance(value, dict):
        return {
            key: without_owner(inner) if isinstance(inner, dict | list) else inner
            for key, inner in value.items()
            if not key.startswith(OWNER_FIELD)
        }
    if isinstance(value, list):
        return [
            without_owner(inner) if isinstance(inner, dict | list) else inner for inner in value
        ]
    return value


def refuse_unnamed(condition: Any) -> None:
    """Raises DatabaseError for a filter that reads fields which it does not name: a schema has patterns of
    names, an expression can take the whole document or compute a name. After an `$unset` such a filter is
    harmless, so an aggregation is the way out."""
    for key, inner in _members(condition):
        if key == "$jsonSchema":
            raise _refusal("$jsonSchema", "use it in a later stage of an aggregation")
        if key == "$expr":
            _refuse_expression(inner)


def reads_unnamed(condition: Any) -> bool:
    """Whether a filter may read fields that it does not name."""
    return any(key in {"$expr", "$jsonSchema"} for key, _ in _members(condition))


def _refuse_expression(expression: Any) -> None:
    for text in _texts(expression):
        if text.rstrip(".") in {"$$ROOT", "$$CURRENT"}:
            raise _refusal(text, "name its fields, or use it in an aggregation")
    for key, inner in _members(expression):
        if key == "$getField" and not _names_its_field(inner):
            raise _refusal(key, "name the field by a text, or use it in an aggregation")


def _names_its_field(operand: Any) -> bool:
    field = operand.get("field") if isinstance(operand, Mapping) and "field" in operand else operand
    if isinstance(field, Mapping) and len(field) == 1 and "$literal" in field:
        return isinstance(field["$literal"], str)
    return isinstance(field, str) and not field.startswith("$")


def _refuse_in_update(update: Any) -> None:
    _refuse_keys(update)
    if isinstance(update, Mapping):
        _refuse_names(update.get("$rename"))
    else:
        _refuse_names(update)


def _refuse_keys(value: Any) -> None:
    for key, _ in _members(value):
        if OWNER_FIELD in key:
            raise _named(key)


def _refuse_names(value: Any) -> None:
    for key, inner in _members(value):
        if OWNER_FIELD in key:
            raise _named(key)
        if key == "$meta" and inner == "indexKey":
            raise _refusal("$meta indexKey", "read the fields themselves")
    for text in _texts(value):
        if OWNER_FIELD in text:
            raise _named(text)


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    """Every member of every object in a value, at any depth."""
    left = [value]
    while left:
        node = left.pop()
        if isinstance(node, Mapping):
            yield from node.items()
            left.extend(node.values())
        elif isinstance(node, list | tuple):
            left.extend(node)


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, names not among them."""
    if isinstance(value, str):
        yield value
    left = [value]
    while left:
        node = left.pop()
        inner = (
            node.values()
            if isinstance(node, Mapping)
            else node
            if isinstance(node, list | tuple)
            else ()
        )
        for each in inner:
            if isinstance(each, str):
                yield each
            else:
                left.append(each)


def _named(name: str) -> DatabaseError:
    return DatabaseError(
        BAD_VALUE, f"{name[:80]!r}: names with {OWNER_FIELD!r} are reserved; leave it out"
    )


def _refusal(what: str, instead: str) -> DatabaseError:
    return DatabaseError(BAD_VALUE, f"{what} could show hidden fields here; {instead}")
