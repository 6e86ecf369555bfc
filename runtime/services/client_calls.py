"""What a mini program client may call: authorize, then functions, database, files, its profile (client
protocol §5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from runtime.messages import Principal, Source
from runtime.services import envelope, methods
from runtime.services.directory import SpaceView
from runtime.services.documents import DocumentService
from runtime.services.file_calls import FileCalls
from runtime.services.file_spaces import FileCaller
from runtime.services.invoke import EndUser, InvokeService
from runtime.services.profiles import Profiles
from runtime.services.rate_limits import RateLimits
from runtime.services.tokens import TokenService
from runtime.services.users import UserService
from sandbox.json_text import dump_json


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
        self,
        *,
        tokens: TokenService,
        invoker: InvokeService,
        documents: DocumentService,
        users: UserService,
        profiles: Profiles,
        files: FileCalls,
        rates: RateLimits,
    ) -> None:
        self._tokens = tokens
        self._documents = documents
        self._invoker = invoker
        self._users = users
        self._profiles = profiles
        self._files = files
        self._rates = rates
        self._of_users: Mapping[str, Callable[[ClientCall, Principal], Awaitable[bytes]]] = {
            methods.INVOKE: self._invoke,
            methods.DATABASE: self._database,
            methods.GET_PROFILE: self._get_profile,
        }

    async def answer(self, call: ClientCall) -> bytes:
        """Raises YunhanError: a bad token first, so that the SDK renews it, whatever else is wrong."""
        if call.method in methods.WITHOUT_TOKEN:
            return await self._authorize(call)
        space = call.space
        principal = self._tokens.verify(space.space_id, call.token or "", access=space.access)
        await self._rates.check_user(space.space_id, principal.user_id)
        carry_out = self._of_users.get(call.method)
        if carry_out is not None:
            return await carry_out(call, principal)
        if self._files.serves(call.method):
            return await self._use_files(call, principal)
        raise methods.unserved(call.method)

    async def _authorize(self, call: ClientCall) -> bytes:
        space, params = call.space, methods.parse_params(call.params)
        if call.method == methods.ANONYMOUS_AUTHORIZE:
            session = self._users.authorize_anonymous(space.space_id, space.access, params)
        else:
            session = await self._users.authorize(space.space_id, space.access, params)
        return envelope.success(dump_json(session), request_id=call.request_id)

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

    async def _use_files(self, call: ClientCall, principal: Principal) -> bytes:
        caller = FileCaller(call.space, principal.user_id, trusted=False)
        params = methods.parse_params(call.params)
        data = await self._files.answer(caller, call.method, params)
        return envelope.success(data, request_id=call.request_id)

    async def _get_profile(self, call: ClientCall, principal: Principal) -> bytes:
        methods.parse_params(call.params)  # options name a platform; there is one record of a user
        data = await self._profiles.tell(call.space.space_id, principal)
        return envelope.success(data, request_id=call.request_id)
