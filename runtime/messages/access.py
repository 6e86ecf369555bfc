"""Who may come to a space: browsers' origins, keys of the platforms that know its users, revoked users."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Provider(StrEnum):
    """Platforms that know end users; the values are the SDKs' `authProvider` (spec: client protocol §5)."""

    ALIPAY = "alipay_openapi"
    WECHAT = "wechat_openapi"
    DINGTALK = "dingtalk_openapi"


@dataclass(frozen=True, slots=True, kw_only=True)
class CorsDomain:
    """An origin from which browsers may call a space. `domain`: host name, `*.` before it for all below it,
    with a port if it is not the scheme's; with a scheme, only that one."""

    domain_id: str
    domain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformConfig:
    """The keys of one app of a space at a platform. `sealed` is ciphertext (`services.platform_keys`).
    Times in ms since 1970."""

    provider: Provider
    app_id: str
    sealed: bytes = field(repr=False)
    created_ms: int
    modified_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Tokens of this user that were issued before `before_ms` are refused. None longer than a token lives."""

    user_id: str
    before_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessConfig:
    """What a space says about who may come."""

    cors: tuple[CorsDomain, ...] = ()
    platforms: tuple[PlatformConfig, ...] = ()
    revocations: tuple[Revocation, ...] = ()
    tokens_from_ms: int = 0
    """Tokens of everybody that were issued before are refused; 0 = none was revoked so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesConfig:
    """What a space says about its files. `rules` is the guide's document as its author wrote it
    (`runtime.files.rules`); empty = everyone reads, the owner writes."""

    rules: str = ""
