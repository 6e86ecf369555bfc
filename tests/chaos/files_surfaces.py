"""The three ways to upload and delete files over HTTP: of apps, of backends, of the management side.

Every answer becomes what its caller knows: done, surely refused, or nothing. A lost connection is raised
(`CUT`).
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import quote

from aiohttp import ClientError, ClientSession
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from runtime.data_dir import AccessKey
from runtime.signatures import sdk_client
from runtime.signatures.rpc_v1 import signed_parameters
from tests.chaos.files_history import Told
from tests.harness.sdk_http import authorize

CUT = (ClientError, OSError, EOFError)
"""What a caller sees of a program that dies."""

_FILES = "serverless.file.resource"
_REFUSAL = "ParamInvalid"
_TYPE = "application/octet-stream"
_BOUNDARY = "----chaos4dd1957e6da7f"


@dataclass(frozen=True, slots=True)
class Answer:
    """`data`: of one that went well."""

    told: Told
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Signed:
    """Leave to upload once."""

    file_id: str
    fields: Mapping[str, str]
    """Of the form."""
    url: str


@dataclass(frozen=True, slots=True)
class Pace:
    """How a body is sent: in so many pieces, with a pause before each but the first."""

    pieces: int = 1
    pause_s: float = 0.0

    async def of(self, data: bytes) -> AsyncIterator[bytes]:
        """The pieces."""
        size = max(1, -(-len(data) // self.pieces))
        for at in range(0, len(data), size):
            if at:
                await asyncio.sleep(self.pause_s)
            yield data[at : at + size]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A space of a program, and whoever asks it."""

    http: ClientSession
    endpoint: str
    space_id: str
    codes: Counter[str]
    """Of all answers that were errors."""

    def answer(self, status: int, error: Mapping[str, Any] | None, data: Any) -> Answer:
        """`error` with its `code`, None when there is none. Only what is the caller's fault has surely done
        nothing."""
        if status == 200 and error is None:
            return Answer(Told.DONE, data or {})
        code = str((error or {}).get("code"))
        self.codes[f"{status} {code}"] += 1
        refused = code == _REFUSAL or 400 <= status < 500
        return Answer(Told.REFUSED if refused else Told.NOTHING, {})


class Surface(ABC):
    """One of the ways. One request at a time."""

    def __init__(self, reached: Reached) -> None:
        self._reached = reached

    @abstractmethod
    async def sign(self, path: str, size: int) -> Signed | None:
        """None: refused."""

    @abstractmethod
    async def upload(self, signed: Signed, data: bytes, pace: Pace) -> Told:
        """The bytes, to be reported."""

    @abstractmethod
    async def report(self, file_id: str) -> Told:
        """What was uploaded becomes the file."""

    @abstractmethod
    async def delete(self, file_id: str) -> Told:
        """The file goes."""

    async def _send(
        self, method: str, url: str, body: AsyncIterator[bytes] | bytes, content_type: str
    ) -> Told:
        reached = self._reached
        headers = {"Content-Type": content_type}
        async with reached.http.request(method, url, data=body, headers=headers) as answer:
            text = await answer.read()
        error = json.loads(text).get("error") if text else None
        return reached.answer(answer.status, error, None).told


class SdkSurface(Surface):
    """Apps and backends: a signed form, then `report`."""

    def __init__(
        self,
        reached: Reached,
        *,
        path: str,
        sign: Callable[[Mapping[str, object]], str],
        token: str | None = None,
    ) -> None:
        """`path`: `/client` or `/server`; `sign` makes the signature of a body."""
        super().__init__(reached)
        self._url = f"{reached.endpoint}{path}"
        self._sign = sign
        self._token = token

    async def sign(self, path: str, size: int) -> Signed | None:
        name = path.rpartition("/")[2]
        params = {"env": "public", "filename": name, "size": size, "fileId": f"/{path}"}
        answer = await self._ask("generateProximalSign", params)
        if answer.told is not Told.DONE:
            return None
        data = answer.data
        fields = {
            "key": data["ossPath"],
            "policy": data["policy"],
            "Signature": data["signature"],
            "OSSAccessKeyId": data["accessKeyId"],
            "success_action_status": "200",
        }
        return Signed(data["id"], fields, f"{self._reached.endpoint}/oss")

    async def upload(self, signed: Signed, data: bytes, pace: Pace) -> Told:
        body = _form(signed.fields, data, pace)
        kind = f"multipart/form-data; boundary={_BOUNDARY}"
        return await self._send("POST", signed.url, body, kind)

    async def report(self, file_id: str) -> Told:
        return (await self._ask("report", {"id": file_id, "contentType": _TYPE})).told

    async def delete(self, file_id: str) -> Told:
        return (await self._ask("delete", {"id": file_id})).told

    async def _ask(self, method: str, params: Mapping[str, object]) -> Answer:
        body: dict[str, object] = {
            "spaceId": self._reached.space_id,
            "method": f"{_FILES}.{method}",
            "params": json.dumps(params),
            "timestamp": int(time.time() * 1000),
        }
        if self._token is not None:
            body["token"] = self._token
        async with self._reached.http.post(
            self._url,
            data=json.dumps(body).encode(),
            headers={"content-type": "application/json", "x-serverless-sign": self._sign(body)},
        ) as answer:
            envelope = await answer.json()
        return self._reached.answer(answer.status, envelope.get("error"), envelope.get("data"))


class ManagementSurface(Surface):
    """A signed address to PUT to, then `RegisterFile`."""

    def __init__(self, reached: Reached, key: AccessKey) -> None:
        super().__init__(reached)
        self._key = key

    async def sign(self, path: str, size: int) -> Signed | None:
        answer = await self._call(
            "DescribeFileUploadSignedUrl",
            ContentType=_TYPE,
            Filename=path.rpartition("/")[2],
            Size=str(size),
            FileId=f"/{path}",
        )
        if answer.told is not Told.DONE:
            return None
        return Signed(answer.data["Id"], {}, answer.data["SignUrl"])

    async def upload(self, signed: Signed, data: bytes, pace: Pace) -> Told:
        body = pace.of(data) if pace.pieces > 1 else data
        return await self._send("PUT", signed.url, body, _TYPE)

    async def report(self, file_id: str) -> Told:
        return (await self._call("RegisterFile", Id=file_id)).told

    async def delete(self, file_id: str) -> Told:
        return (await self._call("DeleteFile", Id=file_id)).told

    async def _call(self, action: str, **parameters: str) -> Answer:
        form = signed_parameters(
            "POST",
            action,
            {"SpaceId": self._reached.space_id, **parameters},
            access_key_id=self._key.key_id,
            secret=self._key.secret,
            now=datetime.now(UTC),
            nonce=os.urandom(16).hex(),
        )
        async with self._reached.http.post(f"{self._reached.endpoint}/", data=form) as answer:
            data = await answer.json()
        error = None if answer.status == 200 else {"code": data.get("Code")}
        return self._reached.answer(answer.status, error, data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Of one space and of the management side."""

    client_secret: str
    server_secret: str
    """PEM."""
    management: AccessKey


async def client_surface(reached: Reached, keys: Keys) -> Surface:
    """A new anonymous user of an app."""
    secret = keys.client_secret
    token = await authorize(
        reached.endpoint.removeprefix("http://"), reached.space_id, keys.client_secret
    )

    def sign(body: Mapping[str, object]) -> str:
        return sdk_client.sign(body, secret.encode())

    return SdkSurface(reached, path="/client", sign=sign, token=token)


async def server_surface(reached: Reached, keys: Keys) -> Surface:
    """A backend."""
    key = cast("rsa.RSAPrivateKey", load_pem_private_key(keys.server_secret.encode(), None))

    def sign(body: Mapping[str, object]) -> str:
        text = sdk_client.string_to_sign(body)
        return key.sign(text, padding.PKCS1v15(), hashes.MD5()).hex()

    return SdkSurface(reached, path="/server", sign=sign)


async def management_surface(reached: Reached, keys: Keys) -> Surface:
    """Whoever manages the space."""
    return ManagementSurface(reached, keys.management)


def public_url(endpoint: str, space_id: str, path: str) -> str:
    """Where the endpoint itself serves a file."""
    return f"{endpoint}/oss/{space_id}/{quote(path)}"


async def _form(fields: Mapping[str, str], data: bytes, pace: Pace) -> AsyncIterator[bytes]:
    """As the SDKs write it, the file last."""
    head = "".join(
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    head += (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n'
        f"Content-Type: {_TYPE}\r\n\r\n"
    )
    yield head.encode()
    async for piece in pace.of(data):
        yield piece
    yield f"\r\n--{_BOUNDARY}--\r\n".encode()
