"""Stored secrets: AES-256-GCM under the master key (design decision 11).

A sealed value is `version (1 byte) | nonce (12) | ciphertext and tag`. The *context* (what it is and
whose) is authenticated with it, so that a sealed value moved to another place does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = b"\x01"
_NONCE_BYTES = 12
_KEY_BYTES = 32


class SealingError(Exception):
    """A sealed value does not open: wrong master key, wrong place, or damaged."""


class MasterKeyError(Exception):
    """The master key file is missing, unreadable or malformed."""


class SecretBox:
    """Seals and opens secrets under one master key; derives further keys from it."""

    def __init__(self, master_key: bytes) -> None:
        if len(master_key) != _KEY_BYTES:
            raise MasterKeyError(
                f"the master key has {len(master_key)} bytes, {_KEY_BYTES} are needed"
            )
        self._master_key = master_key
        self._cipher = AESGCM(master_key)

    def __repr__(self) -> str:
        return "SecretBox(***)"

    def seal(self, secret: bytes, *, context: str) -> bytes:
        """Encrypt; two calls give different values."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, secret, context.encode())

    def open(self, sealed: bytes, *, context: str) -> bytes:
        """Decrypt. Raises SealingError."""
        if sealed[:1] != _VERSION:
            raise SealingError(f"sealed value for {context} has an unknown version")
        nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, body, context.encode())
        except (InvalidTag, ValueError) as error:
            raise SealingError(
                f"sealed value for {context} does not open; is this the master key it was made with?"
            ) from error

    def derive(self, purpose: str) -> bytes:
        """A 32-byte key of its own for one purpose; the same for every holder of the master key."""
        return hmac.new(self._master_key, b"yunhan:" + purpose.encode(), hashlib.sha256).digest()


def read_master_key(path: Path) -> bytes:
    """32 bytes from a file with their base64 text. Raises MasterKeyError."""
    try:
        text = path.read_text(encoding="ascii")
        key = base64.b64decode(text.strip(), validate=True)
    except FileNotFoundError:
        raise MasterKeyError(
            f"{path} does not exist; make one: head -c 32 /dev/urandom | base64"
        ) from None
    except (OSError, ValueError, binascii.Error) as error:
        raise MasterKeyError(f"{path} is not a readable base64 file: {error}") from error
    if len(key) != _KEY_BYTES:
        raise MasterKeyError(f"{path} holds {len(key)} bytes, {_KEY_BYTES} are needed")
    return key


def read_or_make_master_key(path: Path) -> bytes:
    """As `read_master_key`, but makes the file (mode 0600) when it is missing. Development only."""
    if not path.exists():
        text = base64.b64encode(os.urandom(_KEY_BYTES)) + b"\n"
        write_private_file(path, text)
    return read_master_key(path)


def write_private_file(path: Path, content: bytes) -> None:
    """Write a file with mode 0600 in one step: a reader sees nothing or everything."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
