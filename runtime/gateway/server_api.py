"""`POST /server`: the SDK of backends (spec: server protocol)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from runtime.errors import InvalidParameterError
from runtime.gateway.sdk_requests import SdkRequest, SdkRequests, Side
from runtime.services.directory import SpaceView
from runtime.services.server_calls import ServerCall, ServerCalls
from runtime.signatures import sdk_server

_USER_ID_MAX = 128


class ServerApi:
    """The handler of `/server`."""

    def __init__(self, *, requests: SdkRequests, calls: ServerCalls) -> None:
        self._requests = requests
        self._calls = calls

    async def handle(self, request: web.Request) -> web.Response:
        return await self._requests.respond(request, _SIDE, self._answer)

    async def _answer(self, request: SdkRequest) -> bytes:
        return await self._calls.answer(
            ServerCall(
                space=request.space,
                method=request.method(),
                params=request.text("params"),
                user_id=_user_id(request),
                request_id=request.request_id,
            )
        )


def _user_id(request: SdkRequest) -> str | None:
    """For whom the backend acts: `setUserId` is in the signed body, the constructor's `userId` in a header
    that nobody signs. The key holder may be any user, so both count (§5); the signed one comes first."""
    user_id = request.text("userId") or request.http.headers.get("x-basement-auth-uid") or None
    if user_id is not None and (len(user_id) > _USER_ID_MAX or not user_id.isprintable()):
        raise InvalidParameterError(
            "userId", f"userId must be a text of at most {_USER_ID_MAX} printable characters"
        )
    return user_id


def _signed(space: SpaceView, body: Mapping[str, Any], signature: str) -> bool:
    return sdk_server.verify(body, signature, space.public_key_pem)


_SIDE = Side(name="server", key="server secret", signed=_signed, of_clients=False)
