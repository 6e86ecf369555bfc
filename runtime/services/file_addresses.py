"""The addresses of files and uploads: public names, with signatures where they are needed."""

from __future__ import annotations

from urllib.parse import quote

from runtime.files.signed_urls import UrlSigner
from runtime.ports import Clock

PATH = "/oss"
"""Below which every gateway takes uploads and serves files."""
_PLAIN = "/!$'()*;:@~"
"""Characters of a path that stay as they are. No comma: `info` takes addresses with commas between them."""


class FileAddresses:
    """`upload_host` and `cdn_host`: host[:port][/prefix] without a scheme, https for the client SDK;
    `endpoint`: the URL at which backends reach the gateway."""

    def __init__(
        self, *, upload_host: str, cdn_host: str, endpoint: str, urls: UrlSigner, clock: Clock
    ) -> None:
        self.upload_host = upload_host
        self.cdn_host = cdn_host
        self.server_host = f"{endpoint.rstrip('/')}{PATH}"
        """For form POSTs of backends, with its scheme."""
        self._urls = urls
        self._clock = clock

    def public(self, space_id: str, path: str) -> str:
        """Of a file that everybody may read."""
        return f"https://{self.cdn_host}/{space_id}/{quote(path, safe=_PLAIN)}"

    def private(self, space_id: str, path: str, *, ttl_s: int) -> str:
        """Of any file, for whoever has the address, for `ttl_s` seconds."""
        query = self._urls.get_query(space_id, path, expires_s=self._expires_s(ttl_s))
        return f"{self.public(space_id, path)}?{query}"

    def download(self, space_id: str, path: str, *, ttl_s: int) -> str:
        """As `private`, but at the endpoint: for backends, which need not reach the public names."""
        query = self._urls.get_query(space_id, path, expires_s=self._expires_s(ttl_s))
        return f"{self.server_host}/{space_id}/{quote(path, safe=_PLAIN)}?{query}"

    def put(
        self, space_id: str, path: str, *, content_type: str, upload_id: str, ttl_s: int
    ) -> str:
        """Where one PUT with this `Content-Type` may go."""
        query = self._urls.put_query(
            space_id,
            path,
            content_type=content_type,
            upload_id=upload_id,
            expires_s=self._expires_s(ttl_s),
        )
        return f"{self.server_host}/{space_id}/{quote(path, safe=_PLAIN)}?{query}"

    def _expires_s(self, ttl_s: int) -> int:
        return self._clock.now_ms() // 1000 + ttl_s
