"""Arguments and options of each command: which there are and their types (spec: database commands §4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from runtime.documents.errors import BAD_VALUE, TYPE_MISMATCH, DatabaseError
from runtime.documents.names import check_path
from runtime.messages.documents import Verb

INTEGER_MAX = 2**53
"""The largest whole number that JavaScript writes exactly."""

Check = Callable[[Any, str], Any]
"""Value and what it is, as messages begin -> the value to use. Raises DatabaseError."""


def integer(value: Any, what: str) -> int:
    """A whole number of at least 0. Texts and booleans are refused."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        _mismatch(what, "an integer", value)
    if not 0 <= value <= INTEGER_MAX:
        raise DatabaseError(BAD_VALUE, f"{what} must be from 0 to {INTEGER_MAX}")
    return value


def boolean(value: Any, what: str) -> bool:
    """True or false, no numbers."""
    if not isinstance(value, bool):
        _mismatch(what, "true or false", value)
    return value


def text(value: Any, what: str) -> str:
    """A string, may be empty."""
    if not isinstance(value, str):
        _mismatch(what, "a string", value)
    return value


def mapping(value: Any, what: str) -> dict[str, Any]:
    """An object, may be empty."""
    if not isinstance(value, dict):
        _mismatch(what, "an object", value)
    return value


def array(value: Any, what: str) -> list[Any]:
    """An array of anything."""
    if not isinstance(value, list):
        _mismatch(what, "an array", value)
    return value


def filled_mapping(value: Any, what: str) -> dict[str, Any]:
    """An object that is not empty."""
    if not mapping(value, what):
        raise DatabaseError(BAD_VALUE, f"{what} must not be empty")
    return dict(value)


def documents(value: Any, what: str) -> list[Any]:
    """A non-empty array of objects."""
    if not array(value, what):
        raise DatabaseError(BAD_VALUE, f"{what} must not be empty")
    return mappings(value, what)


def mappings(value: Any, what: str) -> list[Any]:
    """An array of objects."""
    item = f"each item of {what}"
    for each in array(value, what):
        mapping(each, item)
    return list(value)


def field_path(value: Any, what: str) -> str:
    """The name of a field, dots allowed."""
    return check_path(text(value, what), what)


def _directions(*allowed: int) -> Check:
    names = " or ".join(str(each) for each in allowed)

    def check(value: Any, what: str) -> dict[str, int]:
        checked: dict[str, int] = {}
        for path, each in mapping(value, what).items():
            check_path(path, what)
            # Equality with a float is wanted: other clients than JavaScript write 1.0.
            if isinstance(each, bool) or not isinstance(each, int | float) or each not in allowed:
                raise DatabaseError(TYPE_MISMATCH, f"{what}: values must be {names}")
            checked[path] = int(each)
        return checked

    return check


sort = _directions(1, -1)
projection = _directions(1, 0)


def hint(value: Any, what: str) -> dict[str, Any]:
    """The keys of an index."""
    for path, each in mapping(value, what).items():
        check_path(path, what)
        if isinstance(each, bool) or not (isinstance(each, str) or each in (1, -1)):
            raise DatabaseError(TYPE_MISMATCH, f"{what} must be the keys of an index")
    return {path: each if isinstance(each, str) else int(each) for path, each in value.items()}


_COLLATION: Final[Mapping[str, Check]] = {
    "locale": text,
    "caseLevel": boolean,
    "caseFirst": text,
    "strength": integer,
    "numericOrdering": boolean,
    "alternate": text,
    "maxVariable": text,
    "normalization": boolean,
    "backwards": boolean,
}


def collation(value: Any, what: str) -> dict[str, Any]:
    """How texts are compared; unknown keys are left out."""
    checked = known(mapping(value, what), _COLLATION, what)
    if "locale" not in checked:
        raise DatabaseError(BAD_VALUE, f"{what} needs a locale")
    return checked


def index_keys(value: Any, what: str) -> dict[str, int]:
    """A field name, or fields with directions; either way the latter comes out, not empty."""
    keys: dict[str, int] = sort({value: 1} if isinstance(value, str) else value, what)
    if not keys:
        raise DatabaseError(BAD_VALUE, f"{what} must name a field")
    return keys


def index_name(value: Any, what: str) -> str:
    """The name of an index."""
    if not text(value, what) or len(value) > 127 or "\0" in value or not value.isprintable():
        raise DatabaseError(BAD_VALUE, f"{what} must have 1 to 127 printable characters")
    return str(value)


def known(values: Mapping[str, Any], checks: Mapping[str, Check], what: str) -> dict[str, Any]:
    """The values that `checks` knows, checked; others are ignored."""
    return {
        name: check(values[name], f"{name} of {what}")
        for name, check in checks.items()
        if name in values
    }


def _mismatch(what: str, wanted: str, value: Any) -> NoReturn:
    raise DatabaseError(TYPE_MISMATCH, f"{what} must be {wanted}, not {_kind(value)}")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    return names.get(type(value), "an array" if isinstance(value, list) else "an object")


_TIME: Final[Mapping[str, Check]] = {"maxTimeMS": integer}
_UPSERT: Final[Mapping[str, Check]] = {"upsert": boolean}
_UPDATE: Final[Mapping[str, Check]] = {**_UPSERT, "arrayFilters": mappings}
_PAGE: Final[Mapping[str, Check]] = {"limit": integer, "skip": integer, **_TIME}
_FIND: Final[Mapping[str, Check]] = {**_PAGE, "sort": sort, "projection": projection, "hint": hint}
_FIND_AND: Final[Mapping[str, Check]] = {**_TIME, "sort": sort, "projection": projection}
_BOOLEANS: Final[Mapping[str, Check]] = dict.fromkeys(
    (
        "explain",
        "allowDiskUse",
        "bypassDocumentValidation",
        "raw",
        "promoteLongs",
        "promoteValues",
        "promoteBuffers",
    ),
    boolean,
)

OPTIONS: Final[Mapping[Verb, Mapping[str, Check]]] = {
    Verb.AGGREGATE: {**_BOOLEANS, **_TIME, "collation": collation},
    Verb.COUNT: _PAGE,
    Verb.FIND: _FIND,
    Verb.FIND_ONE: _FIND,
    Verb.UPDATE_ONE: _UPDATE,
    Verb.UPDATE_MANY: _UPDATE,
    Verb.REPLACE_ONE: _UPSERT,
    Verb.FIND_ONE_AND_UPDATE: {**_FIND_AND, **_UPDATE, "returnNewDocument": boolean},
    Verb.FIND_ONE_AND_REPLACE: {**_FIND_AND, **_UPSERT},
    Verb.FIND_ONE_AND_DELETE: _FIND_AND,
    Verb.CREATE_INDEX: {"unique": boolean, "name": index_name, **_TIME},
}
"""A verb that is not here has none. `arrayFilters` is MongoDB's: without it `$[name]` has no meaning."""

_FILTER: Final[Mapping[str, Check]] = {"filter": mapping}

ARGUMENTS: Final[Mapping[Verb, Mapping[str, Check]]] = {
    Verb.AGGREGATE: {"pipeline": array},
    Verb.COUNT: {"query": mapping},
    Verb.DISTINCT: {"key": field_path, "query": mapping},
    Verb.FIND: {"query": mapping},
    Verb.FIND_ONE: {"query": mapping},
    Verb.INSERT_ONE: {"doc": mapping},
    Verb.INSERT_MANY: {"docs": documents},
    Verb.UPDATE_ONE: {**_FILTER, "update": filled_mapping},
    Verb.UPDATE_MANY: {**_FILTER, "update": filled_mapping},
    Verb.REPLACE_ONE: {**_FILTER, "doc": mapping},
    Verb.FIND_ONE_AND_UPDATE: {**_FILTER, "update": filled_mapping},
    Verb.FIND_ONE_AND_REPLACE: {**_FILTER, "replacement": mapping},
    Verb.FIND_ONE_AND_DELETE: _FILTER,
    Verb.DELETE_ONE: _FILTER,
    Verb.DELETE_MANY: _FILTER,
    Verb.CREATE_INDEX: {"field": index_keys},
    Verb.DROP_INDEX: {"dropIndex": index_name},
}
"""Each must be there, but for objects: the 2.3.3 SDKs leave out empty ones (spec §8)."""
