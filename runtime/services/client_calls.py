"""What a mini program client may call: authorize, then invoke and the database (client protocol §5)."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from runtime.errors import InvalidParameterError
from runtime.ids import new_user_id
from runtime.messages import Principal, Source
from runtime.services import envelope, methods
from runtime.services.directory import SpaceView
from runtime.services.documents import DocumentService
from runtime.services.invoke import EndUser, InvokeService
from runtime.services.tokens import TokenService

_NOBODY = Principal()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCall:
    """One request whose signature was verified. `params` is the JSON text as received."""

    space: SpaceView
    method: str
    params: str | None
    token: str | None
    request_id: str
    client_ip: str | None
    user_agent: str | None


class ClientCalls:
    """Answers client calls with the JSON text of an envelope."""

    def __init__(
        self, *, tokens: TokenService, invoker: InvokeService, documents: DocumentService
    ) -> None:
        self._tokens = tokens
        self._documents = documents
        self._invoker = invoker

    async def answer(self, call: ClientCall) -> bytes:
        """Raises YunhanError: a bad token first, so that the SDK renews it, whatever else is wrong."""
        principal = _NOBODY
        if call.method not in methods.WITHOUT_TOKEN:
            principal = self._tokens.verify(call.space.space_id, call.token or "")
        if call.method == methods.INVOKE:
            return await self._invoke(call, principal)
        if call.method == methods.DATABASE:
            return await self._database(call, principal)
        if call.method == methods.ANONYMOUS_AUTHORIZE:
            return self._authorize_anonymous(call)
        raise methods.unserved(call.method)

    async def _invoke(self, call: ClientCall, principal: Principal) -> bytes:
        wanted = methods.parse_invoke(methods.parse_params(call.params))
        user = EndUser(principal=principal, client_ip=call.client_ip, user_agent=call.user_agent)
        outcome = await self._invoker.invoke_for(
            user,
            call.space,
            wanted.function,
            wanted.args,
            source=Source.CLIENT,
            request_id=call.request_id,
        )
        return envelope.of_outcome(outcome)

    async def _database(self, call: ClientCall, principal: Principal) -> bytes:
        params = methods.parse_params(call.params)
        data = await self._documents.for_client(
            call.space.space_id, call.space.rules, principal.user_id, params
        )
        return envelope.success(data, request_id=call.request_id)

    def _authorize_anonymous(self, call: ClientCall) -> bytes:
        """A new random user each time; no record is kept. uniCloud sends no clientIdentifier."""
        app_id = methods.parse_params(call.params).get("clientIdentifier")
        if app_id is not None and (not isinstance(app_id, str) or len(app_id) > 128):
            raise InvalidParameterError(
                "clientIdentifier", "clientIdentifier must be a text of at most 128 characters"
            )
        principal = Principal(user_id=new_user_id(), app_id=app_id)
        token = self._tokens.issue(call.space.space_id, principal)
        data = orjson.dumps({"accessToken": token, "expiresInSecond": self._tokens.ttl_s})
        return envelope.success(data, request_id=call.request_id)
