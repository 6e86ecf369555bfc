"""The keys of a space: the client secret (HMAC) and the server's RSA pair, sealed at rest."""

from __future__ import annotations

import asyncio
import base64
import os
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from runtime.messages import Space
from runtime.sealing import SecretBox

_CLIENT_SECRET_BYTES = 16
_RSA_BITS = 2048
_RSA_EXPONENT = 65537


def client_secret_context(space_id: str) -> str:
    """What a sealed client secret is bound to."""
    return f"space/{space_id}/client-secret"


def private_key_context(space_id: str) -> str:
    """What a sealed private key is bound to."""
    return f"space/{space_id}/private-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceKeys:
    """A space's keys in the clear, for its owner."""

    client_secret: str = field(repr=False)
    private_key_pem: str = field(repr=False)
    """PKCS#8 with real line breaks (spec: server protocol §2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A new RSA pair: the private half sealed for one space."""

    private_sealed: bytes = field(repr=False)
    public_pem: str


def seal_new_client_secret(box: SecretBox, space_id: str) -> bytes:
    """A random secret, base64 text like the original's, sealed."""
    secret = base64.b64encode(os.urandom(_CLIENT_SECRET_BYTES))
    return box.seal(secret, context=client_secret_context(space_id))


async def make_key_pair(box: SecretBox, space_id: str) -> KeyPair:
    """A new pair. Takes some 100 ms of a processor, therefore in a thread."""
    private_pem, public_pem = await asyncio.to_thread(_generate)
    sealed = box.seal(private_pem, context=private_key_context(space_id))
    return KeyPair(private_sealed=sealed, public_pem=public_pem.decode())


def open_keys(box: SecretBox, space: Space) -> SpaceKeys:
    """Raises SealingError."""
    secret = box.open(space.client_secret_sealed, context=client_secret_context(space.space_id))
    private = box.open(space.private_key_sealed, context=private_key_context(space.space_id))
    return SpaceKeys(client_secret=secret.decode(), private_key_pem=private.decode())


def _generate() -> tuple[bytes, bytes]:
    key = rsa.generate_private_key(public_exponent=_RSA_EXPONENT, key_size=_RSA_BITS)
    private_pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public_pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private_pem, public_pem
