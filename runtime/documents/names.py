"""Names that callers give: of collections and of fields, checked so that none leads out of the space."""

from __future__ import annotations

from typing import Any

from runtime.documents.errors import BAD_VALUE, INVALID_NAMESPACE, DatabaseError

COLLECTION_BYTES_MAX = 120
PATH_PARTS_MAX = 100
"""Of a dotted field path: one that is set makes as many nested documents."""
_SHOWN = 64


def check_collection(name: Any, key: str = "collection") -> str:
    """The name, when a space's collection may have it. Raises DatabaseError InvalidNamespace."""
    if not isinstance(name, str):
        raise DatabaseError(INVALID_NAMESPACE, f"{key} must be the name of a collection")
    problem = _collection_problem(name)
    if problem is not None:
        raise DatabaseError(INVALID_NAMESPACE, f"{key} {shown(name)} {problem}")
    return name


def check_path(path: Any, what: str) -> str:
    """A field path without operators: `a` or `a.b.0`. Raises DatabaseError BadValue, which `what` begins."""
    if not isinstance(path, str) or not path:
        raise DatabaseError(BAD_VALUE, f"{what} must name a field")
    problem = path_problem(path)
    if problem is None and (path[0] == "$" or ".$" in path):
        problem = "has a part that starts with $"
    if problem is not None:
        raise DatabaseError(BAD_VALUE, f"{what}: field {shown(path)} {problem}")
    return path


def path_problem(path: str) -> str | None:
    """What no field path may have, `$` aside."""
    if path.count(".") >= PATH_PARTS_MAX:
        return f"has more than {PATH_PARTS_MAX} parts"
    return key_problem(path)


def key_problem(key: str) -> str | None:
    """What no key may have because the database's format of documents cannot hold it."""
    if "\0" in key:
        return "has a NUL character"
    if not key.isascii():
        try:
            key.encode()
        except UnicodeEncodeError:
            return "has half a surrogate pair"
    return None


def shown(text: str) -> str:
    """For messages: quoted, cut, without control characters."""
    return ascii(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def _collection_problem(name: str) -> str | None:
    problem = key_problem(name)
    if problem is not None:
        return problem
    if not 1 <= len(name.encode()) <= COLLECTION_BYTES_MAX:
        return f"must have 1 to {COLLECTION_BYTES_MAX} bytes"
    if "$" in name:
        return "must not have a $"
    if name.startswith("system."):
        return "belongs to the database: names must not start with system."
    if name[0] == "." or name[-1] == "." or ".." in name:
        return "must not start or end with a dot, or have two in a row"
    return None
