"""Bounds of the requests that the worker sends for functions (`ctx.mpserverless.httpProxyClient`)."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from runtime.settings.fields import KIB, MIB, SettingGroup, setting


class HttpProxySettings(SettingGroup):
    """For the worker, each of its spaces, and one request."""

    http_proxy_under_way_max: int = setting(
        64, "count", "requests of httpProxyClient under way on one worker; more are refused", ge=1
    )
    http_proxy_under_way_max_per_space: int = setting(
        16, "count", "the same of one space, so that no space takes the others' share", ge=1
    )
    http_proxy_timeout_s: float = setting(
        30.0, "s", "one request, from the look-up of its host to the last byte of the answer", gt=0
    )
    http_proxy_url_max_bytes: int = setting(8 * KIB, "bytes", "URL of a request", ge=1)
    http_proxy_headers_max: int = setting(64, "count", "header fields of a request", ge=1)
    http_proxy_headers_max_bytes: int = setting(
        16 * KIB, "bytes", "header fields of a request, names and values", ge=1
    )
    http_proxy_request_max_bytes: int = setting(1 * MIB, "bytes", "body of a request", ge=1)
    http_proxy_response_max_bytes: int = setting(
        6 * MIB, "bytes", "body of an answer, after decompression", ge=1
    )

    @model_validator(mode="after")
    def _a_space_fits_the_worker(self) -> Self:
        if self.http_proxy_under_way_max_per_space > self.http_proxy_under_way_max:
            raise ValueError(
                "YUNHAN_HTTP_PROXY_UNDER_WAY_MAX_PER_SPACE="
                f"{self.http_proxy_under_way_max_per_space} must not be greater than"
                f" YUNHAN_HTTP_PROXY_UNDER_WAY_MAX={self.http_proxy_under_way_max}"
            )
        return self
