"""Control plane values as documents and back. Pure.

Documents carry the names of the dataclass fields; the id is `_id`. Reading is tolerant, so that two
versions of the program can share a database: unknown fields are ignored, missing ones take the default.
A missing field without a default, or an unknown status, is an error: guessing could open what is closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from runtime.errors import OursError
from runtime.messages import Deployment, DeploymentStatus, Function, Space, SpaceStatus
from runtime.ports import TokenKey

Document = dict[str, Any]


def space_to_document(space: Space) -> Document:
    """`functions` is a list, so that no name can be a malformed key."""
    document = {f.name: getattr(space, f.name) for f in fields(space) if f.name != "space_id"}
    document["status"] = space.status.value
    document["functions"] = [asdict(function) for function in space.functions.values()]
    return {"_id": space.space_id, **document}


def space_from_document(document: Mapping[str, Any]) -> Space:
    """Raises OursError for a document that makes no space."""
    try:
        known = _known(Space, document, identity="space_id")
        if "status" in known:
            known["status"] = SpaceStatus(known["status"])
        functions = [Function(**_known(Function, each)) for each in known.get("functions", ())]
        known["functions"] = {function.name: function for function in functions}
        return Space(**known)
    except (TypeError, ValueError) as error:
        raise _unreadable("space", document, error) from error


def deployment_to_document(deployment: Deployment) -> Document:
    """`_id` is the deployment id; ids are unique over all spaces."""
    document = asdict(deployment)
    document["status"] = deployment.status.value
    return {"_id": document.pop("deployment_id"), **document}


def deployment_from_document(document: Mapping[str, Any]) -> Deployment:
    """Raises OursError for a document that makes no deployment."""
    try:
        known = _known(Deployment, document, identity="deployment_id")
        if "status" in known:
            known["status"] = DeploymentStatus(known["status"])
        return Deployment(**known)
    except (TypeError, ValueError) as error:
        raise _unreadable("deployment", document, error) from error


def token_key_to_document(key: TokenKey) -> Document:
    """`_id` is the key id."""
    document = asdict(key)
    return {"_id": document.pop("key_id"), **document}


def token_key_from_document(document: Mapping[str, Any]) -> TokenKey:
    """Raises OursError for a document that makes no token key."""
    try:
        return TokenKey(**_known(TokenKey, document, identity="key_id"))
    except (TypeError, ValueError) as error:
        raise _unreadable("token key", document, error) from error


def _known(kind: type, document: Mapping[str, Any], identity: str | None = None) -> Document:
    """The document's fields that `kind` has."""
    known = {f.name: _plain(document[f.name]) for f in fields(kind) if f.name in document}
    if identity is not None:
        known[identity] = document["_id"]
    return known


def _plain(value: object) -> object:
    """Drivers return 64-bit numbers as a subclass of int."""
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _unreadable(what: str, document: Mapping[str, Any], error: Exception) -> OursError:
    return OursError(
        "InternalServerError",
        f"stored {what} {document.get('_id')} is unreadable: {error};"
        " was it written by a newer version of this program?",
    )
