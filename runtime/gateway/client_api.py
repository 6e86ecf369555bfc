"""`POST /client`: the mini program SDKs (spec: client protocol)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from runtime.gateway.sdk_requests import SdkRequest, SdkRequests, Side
from runtime.services.client_calls import ClientCall, ClientCalls
from runtime.services.directory import SpaceView
from runtime.signatures import sdk_client


class ClientApi:
    """The handler of `/client`."""

    def __init__(self, *, requests: SdkRequests, calls: ClientCalls) -> None:
        self._requests = requests
        self._calls = calls

    async def handle(self, request: web.Request) -> web.Response:
        return await self._requests.respond(request, _SIDE, self._answer)

    async def _answer(self, request: SdkRequest) -> bytes:
        return await self._calls.answer(
            ClientCall(
                space=request.space,
                method=request.method(),
                params=request.text("params"),
                token=request.text("token"),
                request_id=request.request_id,
                client_ip=self._requests.door.client_ip(request.http),
                user_agent=request.http.headers.get("user-agent"),
            )
        )


def _signed(space: SpaceView, body: Mapping[str, Any], signature: str) -> bool:
    return sdk_client.verify(body, signature, space.client_secret)


_SIDE = Side(name="client", key="client secret", signed=_signed, of_clients=True)
