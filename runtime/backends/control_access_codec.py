"""What a space says about who may come and about its files, as documents and back. Pure.

Reading is as tolerant as in `control_codec`; what would open something closed when it is guessed is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.messages import (
    AccessConfig,
    CorsDomain,
    FilesConfig,
    PlatformConfig,
    Provider,
    Revocation,
)

Document = dict[str, Any]


def access_to_document(access: AccessConfig) -> Document:
    """Lists of documents, so that no name can be a malformed key."""
    return {
        "cors": [{"domain_id": each.domain_id, "domain": each.domain} for each in access.cors],
        "platforms": [
            {
                "provider": each.provider.value,
                "app_id": each.app_id,
                "sealed": each.sealed,
                "created_ms": each.created_ms,
                "modified_ms": each.modified_ms,
            }
            for each in access.platforms
        ],
        "revocations": [
            {"user_id": each.user_id, "before_ms": each.before_ms} for each in access.revocations
        ],
        "tokens_from_ms": access.tokens_from_ms,
    }


def access_from_document(stored: object) -> AccessConfig:
    """Raises TypeError and ValueError; their texts hold no stored value."""
    document = _mapping(stored, "access")
    return AccessConfig(
        cors=tuple(
            CorsDomain(domain_id=_text(each, "domain_id"), domain=_text(each, "domain"))
            for each in _list(document, "cors")
        ),
        platforms=tuple(_platform(each) for each in _list(document, "platforms")),
        revocations=tuple(
            Revocation(user_id=_text(each, "user_id"), before_ms=_number(each, "before_ms"))
            for each in _list(document, "revocations")
        ),
        tokens_from_ms=_number(document, "tokens_from_ms", missing=0),
    )


def files_from_document(stored: object) -> FilesConfig:
    """Raises TypeError."""
    document = _mapping(stored, "files")
    return FilesConfig(rules=_text(document, "rules", missing=""))


def _platform(stored: Mapping[str, Any]) -> PlatformConfig:
    sealed = stored.get("sealed")
    if not isinstance(sealed, bytes):
        raise TypeError("a platform's keys are no bytes")
    return PlatformConfig(
        provider=Provider(_text(stored, "provider")),
        app_id=_text(stored, "app_id"),
        sealed=sealed,
        created_ms=_number(stored, "created_ms", missing=0),
        modified_ms=_number(stored, "modified_ms", missing=0),
    )


def _mapping(stored: object, what: str) -> Mapping[str, Any]:
    if not isinstance(stored, Mapping):
        raise TypeError(f"{what} is of kind {type(stored).__name__}")
    return stored


def _list(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    listed = document.get(name, ())
    if not isinstance(listed, list | tuple):
        raise TypeError(f"{name} is no list")
    return [_mapping(each, name) for each in listed]


def _text(document: Mapping[str, Any], name: str, *, missing: str | None = None) -> str:
    value = document.get(name, missing)
    if not isinstance(value, str):
        raise TypeError(f"{name} is no text")
    return value


def _number(document: Mapping[str, Any], name: str, *, missing: int | None = None) -> int:
    value = document.get(name, missing)
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is no number")
    return int(value)
