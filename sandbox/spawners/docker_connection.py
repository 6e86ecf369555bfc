"""How the SDK's client reaches the engine: one connection, which leaks nothing when there is no engine."""

from __future__ import annotations

import socket
from typing import Any

from docker.transport import UnixHTTPAdapter  # type: ignore[import-untyped]
from docker.transport.unixconn import (  # type: ignore[import-untyped]
    UnixHTTPConnection,
    UnixHTTPConnectionPool,
)


class OneConnection(UnixHTTPAdapter):  # type: ignore[misc]
    """The SDK's own adapter keeps a connection for each of the last 25 paths, one per container; the client's
    `num_pools` would say so, but does not reach it. `path` is that of the engine's socket."""

    def __init__(self, path: str, *, timeout_s: float) -> None:
        super().__init__(
            f"http+unix://{path}", timeout=timeout_s, pool_connections=1, max_pool_size=1
        )
        self._pool = _Pool("http+docker://localhost", path, timeout=timeout_s, maxsize=1)

    def get_connection(self, _url: str, _proxies: Any = None) -> UnixHTTPConnectionPool:
        """The same pool for every path."""
        return self._pool

    def close(self) -> None:
        self._pool.close()
        super().close()


class _Pool(UnixHTTPConnectionPool):  # type: ignore[misc]
    def _new_conn(self) -> UnixHTTPConnection:
        return _Connection(self.base_url, self.socket_path, self.timeout)


class _Connection(UnixHTTPConnection):  # type: ignore[misc]
    def connect(self) -> None:
        """The SDK's own leaves its socket to the garbage collector when nobody listens."""
        connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connecting.settimeout(self.timeout)
            connecting.connect(self.unix_socket)
        except BaseException:
            connecting.close()
            raise
        self.sock = connecting
