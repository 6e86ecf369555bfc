"""What open connections, heads, bodies and TLS handshakes may cost."""

from __future__ import annotations

from runtime.settings.fields import MIB, SettingGroup, setting


class ConnectionSettings(SettingGroup):
    """Bounds of the listeners."""

    connections_max: int = setting(
        4096, "count", "open connections of all clients; more are refused", ge=1
    )
    head_timeout_s: float = setting(
        10.0, "s", "longest wait for the head of a new connection's first request", gt=0
    )
    head_fields_max: int = setting(64, "count", "header fields of one request", ge=1)
    head_field_max_bytes: int = setting(
        8190, "bytes", "one header field, or the first line of a request", ge=256
    )
    body_timeout_s: float = setting(
        30.0, "s", "longest wait for the body of a request; uploads: for the next part of it", gt=0
    )
    bodies_max_bytes: int = setting(
        256 * MIB, "bytes", "request bodies being read at the same time; more are refused", ge=1
    )
    keepalive_s: float = setting(
        75.0, "s", "longest wait for the next request on a connection; longer than a proxy's", gt=0
    )
    write_stall_s: float = setting(
        30.0, "s", "a client that takes nothing of its answer for this time is cut off", gt=0
    )
    linger_s: float = setting(
        1.0, "s", "after a refusal the rest of the body is taken for this time, then cut off", gt=0
    )
    tls_handshake_timeout_s: float = setting(10.0, "s", "longest TLS handshake", gt=0)
    tls_handshakes_max: int = setting(
        128, "count", "TLS handshakes under way; one more ends the oldest", ge=2
    )
    tls_contexts_max: int = setting(
        1000, "count", "certificates of custom domains kept ready for handshakes", ge=1
    )
    tls_renew_check_s: float = setting(
        3600.0, "s", "how often it is looked whether our own certificate expires soon", gt=0
    )
