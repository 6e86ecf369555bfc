"""What a backend with the space's private key may call (spec: server protocol §4).

Collection and file rules do not hold for it. It may act as any user of its space (§5): functions that it
invokes have that user, and documents that it inserts belong to that user.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from runtime.messages import EGRESS_INHERITED, Principal, Source
from runtime.ports import HttpTraffic
from runtime.services import envelope, methods
from runtime.services.directory import SpaceView
from runtime.services.egress_rules import rules_of
from runtime.services.file_calls import FileCalls
from runtime.services.file_spaces import FileCaller
from runtime.services.http_proxy import HttpProxy
from runtime.services.invoke import EndUser, InvokeService
from runtime.services.profiles import Profiles
from runtime.services.redis_cli import RedisCli


class Documents(Protocol):
    """The database of a space for callers whom no rule restricts."""

    async def trusted(
        self, space_id: str, params: Mapping[str, Any], *, user_id: str | None = None
    ) -> bytes:
        """Carry out one command: the JSON text of `data`. `user_id` becomes the owner of what is inserted.
        Raises YunhanError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCall:
    """One request whose signature was verified. `params` is the JSON text as received."""

    space: SpaceView
    method: str
    params: str | None
    user_id: str | None
    """Whom the backend acts for; None: itself."""
    request_id: str


class ServerCalls:
    """Answers calls of backends with the JSON text of an envelope."""

    def __init__(
        self,
        *,
        invoker: InvokeService,
        documents: Documents,
        profiles: Profiles,
        files: FileCalls,
        redis: RedisCli,
        http: HttpProxy,
    ) -> None:
        self._invoker = invoker
        self._documents = documents
        self._profiles = profiles
        self._files = files
        self._redis = redis
        self._http = http
        self._methods: dict[str, Callable[[ServerCall], Awaitable[bytes]]] = {
            methods.INVOKE: self._invoke,
            methods.DATABASE: self._database,
            methods.GET_PROFILE: self._get_profile,
            methods.REDIS: self._use_redis,
            methods.HTTP_REQUEST: self._request,
        }

    async def answer(self, call: ServerCall) -> bytes:
        """Raises YunhanError."""
        carry_out = self._methods.get(call.method)
        if carry_out is not None:
            return await carry_out(call)
        if self._files.serves(call.method):
            return await self._use_files(call)
        raise methods.unserved(call.method)

    async def _invoke(self, call: ServerCall) -> bytes:
        wanted = methods.parse_invoke(methods.parse_params(call.params))
        user = EndUser(principal=_principal(call), client_ip=None, user_agent=None)
        outcome = await self._invoker.invoke_for(
            user,
            call.space,
            wanted.function,
            wanted.args,
            source=Source.SERVER,
            request_id=call.request_id,
        )
        return envelope.of_outcome(outcome)

    async def _database(self, call: ServerCall) -> bytes:
        params = methods.parse_params(call.params)
        data = await self._documents.trusted(call.space.space_id, params, user_id=call.user_id)
        return envelope.success(data, request_id=call.request_id)

    async def _get_profile(self, call: ServerCall) -> bytes:
        methods.parse_params(call.params)  # options name a platform; there is one record of a user
        data = await self._profiles.tell(call.space.space_id, _principal(call))
        return envelope.success(data, request_id=call.request_id)

    async def _use_files(self, call: ServerCall) -> bytes:
        caller = FileCaller(call.space, call.user_id, trusted=True)
        params = methods.parse_params(call.params)
        data = await self._files.answer(caller, call.method, params)
        return envelope.success(data, request_id=call.request_id)

    async def _use_redis(self, call: ServerCall) -> bytes:
        data = await self._redis.run(call.space.space_id, methods.parse_params(call.params))
        return envelope.success(data, request_id=call.request_id)

    async def _request(self, call: ServerCall) -> bytes:
        """To where functions of the space may go that say nothing about it themselves."""
        params = methods.parse_params(call.params)
        egress = rules_of(call.space.egress, EGRESS_INHERITED)
        data = await self._http.request(call.space.space_id, params, HttpTraffic(), egress=egress)
        return envelope.success(data, request_id=call.request_id)


def _principal(call: ServerCall) -> Principal:
    return Principal(user_id=call.user_id)
