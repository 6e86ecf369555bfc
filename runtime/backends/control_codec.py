"""Control plane values as documents and back. Pure.

Documents carry the names of the dataclass fields; the id is `_id`. Reading is tolerant, so that two
versions of the program can share a database: unknown fields are ignored, missing ones take the default.
A missing field without a default, an unknown status, mode or policy, a setting of HTTP triggers, egress,
the database, files, access or asynchronous jobs or a sealed environment of another kind than ours is an
error: guessing could open what is closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, get_type_hints

from runtime.backends.control_access_codec import (
    access_from_document,
    access_to_document,
    files_from_document,
)
from runtime.errors import OursError
from runtime.messages import (
    AsyncConfig,
    CollectionPolicy,
    DatabaseConfig,
    Deployment,
    DeploymentStatus,
    EgressConfig,
    EgressMode,
    Function,
    HttpTriggerConfig,
    PolicyName,
    Space,
    SpaceStatus,
)
from runtime.ports import CustomDomain, Timer, TokenKey

Document = dict[str, Any]

CUSTOM_DOMAIN = "http_triggers.custom_domain"
"""Path of a space's custom domain. Spaces without one have no such field, so an index leaves them out."""

TIMER_COUNT = "timer_count"
"""How many of a space's functions have a timer; absent when none has, so that an index leaves such spaces
out. The timers stand beside it once more, so that reading all of them reads no functions."""

_HTTP_TRIGGER_KINDS = get_type_hints(HttpTriggerConfig)


def space_to_document(space: Space) -> Document:
    """`functions` is a list, so that no name can be a malformed key."""
    document = {f.name: getattr(space, f.name) for f in fields(space) if f.name != "space_id"}
    document["status"] = space.status.value
    document["functions"] = [
        {**asdict(function), "egress": _egress_to_document(function.egress)}
        for function in space.functions.values()
    ]
    document["egress"] = _egress_to_document(space.egress)
    document["database"] = _database_to_document(space.database)
    document["files"] = {"rules": space.files.rules}
    document["access"] = access_to_document(space.access)
    document["http_triggers"] = asdict(space.http_triggers)
    if not space.http_triggers.custom_domain:
        del document["http_triggers"]["custom_domain"]
    if timers := timers_of(space):
        document[TIMER_COUNT] = len(timers)
        document["timers"] = [
            {"function": each.function, "cron": each.cron, "set_ms": each.set_ms} for each in timers
        ]
    return {"_id": space.space_id, **document}


def space_from_document(document: Mapping[str, Any]) -> Space:
    """Raises OursError for a document that makes no space."""
    try:
        known = known_fields(Space, document, identity="space_id")
        if "status" in known:
            known["status"] = SpaceStatus(known["status"])
        functions = [_function(each) for each in known.get("functions", ())]
        known["functions"] = {function.name: function for function in functions}
        if "http_triggers" in known:
            known["http_triggers"] = _http_triggers(known["http_triggers"])
        if "egress" in known:
            known["egress"] = _egress(known["egress"])
        if "database" in known:
            known["database"] = _database(known["database"])
        if "files" in known:
            known["files"] = files_from_document(known["files"])
        if "access" in known:
            known["access"] = access_from_document(known["access"])
        return Space(**known)
    except (TypeError, ValueError) as error:
        raise _unreadable("space", document, error) from error


def custom_domain_from_document(document: Mapping[str, Any]) -> CustomDomain:
    """Of a space's document that has a custom domain; of the rest of it `revision` is enough.

    Raises OursError for a document that makes none."""
    try:
        return CustomDomain(
            domain=_http_triggers(document.get("http_triggers")).custom_domain,
            space_id=document["_id"],
            revision=int(document.get("revision", 1)),
        )
    except (TypeError, ValueError) as error:
        raise _unreadable("custom domain of space", document, error) from error


def timers_of(space: Space) -> list[Timer]:
    """Of the functions that have one."""
    return [
        Timer(
            space_id=space.space_id,
            function=function.name,
            cron=function.timer_cron,
            set_ms=function.timer_set_ms,
        )
        for function in space.functions.values()
        if function.timer_cron
    ]


def timers_from_document(document: Mapping[str, Any]) -> list[Timer]:
    """Of a space's document; of the rest of it nothing is needed. Raises OursError."""
    try:
        return [
            Timer(
                space_id=document["_id"],
                function=str(stored["function"]),
                cron=str(stored["cron"]),
                set_ms=int(stored["set_ms"]),
            )
            for stored in document["timers"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable("timers of space", document, error) from error


def deployment_to_document(deployment: Deployment) -> Document:
    """`_id` is the deployment id; ids are unique over all spaces."""
    document = asdict(deployment)
    document["status"] = deployment.status.value
    return {"_id": document.pop("deployment_id"), **document}


def deployment_from_document(document: Mapping[str, Any]) -> Deployment:
    """Raises OursError for a document that makes no deployment."""
    try:
        known = known_fields(Deployment, document, identity="deployment_id")
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
        return TokenKey(**known_fields(TokenKey, document, identity="key_id"))
    except (TypeError, ValueError) as error:
        raise _unreadable("token key", document, error) from error


def known_fields(kind: type, document: Mapping[str, Any], identity: str | None = None) -> Document:
    """The document's fields that the dataclass `kind` has; `identity` is the name of the one under `_id`."""
    known = {f.name: _plain(document[f.name]) for f in fields(kind) if f.name in document}
    if identity is not None:
        known[identity] = document["_id"]
    return known


def _function(stored: Mapping[str, Any]) -> Function:
    """Raises TypeError or ValueError; no text of theirs holds a stored secret."""
    known = known_fields(Function, stored)
    if "egress" in known:
        known["egress"] = _egress(known["egress"])
    if "asynchronous" in known:
        known["asynchronous"] = _asynchronous(known["asynchronous"])
    function = Function(**known)
    if not isinstance(function.env_sealed, bytes):
        raise TypeError(f"env_sealed is of kind {type(function.env_sealed).__name__}")
    return function


def _http_triggers(stored: object) -> HttpTriggerConfig:
    """Raises TypeError; its text holds no stored value, for one of them is a key."""
    if not isinstance(stored, Mapping):
        raise TypeError(f"http_triggers is of kind {type(stored).__name__}")
    known = known_fields(HttpTriggerConfig, stored)
    for name, value in known.items():
        kind = _HTTP_TRIGGER_KINDS[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(f"http_triggers.{name} is of kind {type(value).__name__}")
    return HttpTriggerConfig(**known)


def _egress_to_document(egress: EgressConfig) -> Document:
    return {"mode": egress.mode.value, "allow": list(egress.allow)}


def _egress(stored: object) -> EgressConfig:
    """Raises TypeError, and ValueError for a mode that is not ours."""
    if not isinstance(stored, Mapping):
        raise TypeError(f"egress is of kind {type(stored).__name__}")
    known = known_fields(EgressConfig, stored)
    if "mode" in known:
        known["mode"] = EgressMode(known["mode"])
    allow = known.get("allow", ())
    if not isinstance(allow, list | tuple) or not all(isinstance(rule, str) for rule in allow):
        raise TypeError("egress.allow is no list of texts")
    return EgressConfig(**{**known, "allow": tuple(allow)})


def _database_to_document(database: DatabaseConfig) -> Document:
    """`policies` is a list, as functions are."""
    return {
        "policies": [
            {"collection": collection, "name": policy.name.value, "text": policy.text}
            for collection, policy in database.policies.items()
        ]
    }


def _database(stored: object) -> DatabaseConfig:
    """Raises TypeError, and ValueError for a policy that is not ours."""
    if not isinstance(stored, Mapping):
        raise TypeError(f"database is of kind {type(stored).__name__}")
    listed = stored.get("policies", ())
    if not isinstance(listed, list | tuple):
        raise TypeError("database.policies is no list")
    return DatabaseConfig(policies=dict(_policy(each) for each in listed))


def _policy(stored: object) -> tuple[str, CollectionPolicy]:
    if not isinstance(stored, Mapping):
        raise TypeError(f"a database policy is of kind {type(stored).__name__}")
    collection, name, text = (stored.get(key) for key in ("collection", "name", "text"))
    if not (isinstance(collection, str) and isinstance(text, str)):
        raise TypeError("a database policy has no collection or no text")
    return collection, CollectionPolicy(name=PolicyName(str(name)), text=text)


def _asynchronous(stored: object) -> AsyncConfig:
    """Raises TypeError: a text for a number would stop every job of the function much later."""
    if not isinstance(stored, Mapping):
        raise TypeError(f"asynchronous is of kind {type(stored).__name__}")
    known = known_fields(AsyncConfig, stored)
    for name, value in known.items():
        if name in {"retry_function", "http"}:
            fits = isinstance(value, bool)
        else:
            fits = value is None or (isinstance(value, int | float) and not isinstance(value, bool))
        if not fits:
            raise TypeError(f"asynchronous.{name} is of kind {type(value).__name__}")
    return AsyncConfig(**known)


def _plain(value: object) -> object:
    """Drivers return 64-bit numbers as a subclass of int."""
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _unreadable(what: str, document: Mapping[str, Any], error: Exception) -> OursError:
    return OursError(
        "InternalServerError",
        f"stored {what} {document.get('_id')} is unreadable: {error};"
        " was it written by a newer version of this program?",
    )
