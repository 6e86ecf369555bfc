"""Signed addresses of code packages: made for owners, opened when they come back."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from runtime.errors import CallerError
from runtime.ports import Clock
from runtime.signatures import upload_url

PATH = "/oss/deployments/"
KEY_PURPOSE = "upload-urls"
"""What the signing key is derived for (`SecretBox.derive`)."""


class AddressRefusedError(CallerError):
    """A signed address is not ours, was changed, or expired."""


class PackageAddresses:
    """Each address opens one deployment for one method, until it expires."""

    def __init__(self, *, public_url: str, key: bytes, clock: Clock, ttl_s: int) -> None:
        self._public_url = public_url.rstrip("/")
        self._key = key
        self._clock = clock
        self._ttl_s = ttl_s

    def upload(self, space_id: str, deployment_id: str) -> str:
        """Where to PUT the zip."""
        return self._make("PUT", space_id, deployment_id)

    def download(self, space_id: str, deployment_id: str) -> str:
        """Where to GET the zip."""
        return self._make("GET", space_id, deployment_id)

    def open(self, method: str, deployment_id: str, query: Mapping[str, str]) -> tuple[str, int]:
        """The space and the seconds until the address expires. Raises AddressRefusedError."""
        space_id = query.get("SpaceId", "")
        expires = query.get("Expires", "")
        if not (expires.isascii() and expires.isdigit() and len(expires) <= 15):
            raise _refused()
        signature = query.get("Signature", "")
        if not upload_url.verify(
            self._key, method, space_id, deployment_id, int(expires), signature=signature
        ):
            raise _refused()
        left_s = int(expires) - self._clock.now_ms() // 1000
        if left_s <= 0:
            raise AddressRefusedError(
                "SignedUrl.Expired", "this signed address has expired; ask for a new one"
            )
        return space_id, left_s

    def _make(self, method: str, space_id: str, deployment_id: str) -> str:
        expires_s = self._clock.now_ms() // 1000 + self._ttl_s
        query = {
            "SpaceId": space_id,
            "Expires": expires_s,
            "Signature": upload_url.sign(self._key, method, space_id, deployment_id, expires_s),
        }
        return f"{self._public_url}{PATH}{deployment_id}.zip?{urlencode(query)}"


def _refused() -> AddressRefusedError:
    return AddressRefusedError(
        "SignatureDoesNotMatch", "this is no address that was signed here for this method"
    )
