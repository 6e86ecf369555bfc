"""Calls of pages from elsewhere, as a browser sends them and reads the answers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from runtime.gateway.cross_origin import (
    CLIENT_METHODS,
    FILE_METHODS,
    CrossOrigin,
    add_headers,
    preflight,
)
from runtime.messages import AccessConfig, CorsDomain
from runtime.services.cors import OriginRefusedError

ACCESS = AccessConfig(cors=(CorsDomain(domain_id="cors-1", domain="shop.test"),))
GOOD, BAD = "https://shop.test", "https://evil.test"


class Stand:
    """A server whose handler checks the origin, and counts what it did."""

    def __init__(self) -> None:
        self.cross_origin = CrossOrigin(always=("localhost",))
        self.done = 0
        self.base = ""

    async def public(self, request: web.Request) -> web.Response:
        response = web.Response(text=str(self.cross_origin.note(request, ACCESS)))
        add_headers(request, response)
        return response

    async def handle(self, request: web.Request) -> web.Response:
        try:
            self.cross_origin.check(request, "mp-1", ACCESS)
            self.done += 1
            response = web.Response(text="done")
        except OriginRefusedError as error:
            response = web.Response(text=error.code)
        add_headers(request, response)
        return response


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    stand = Stand()
    app = web.Application()
    app.router.add_post("/client", stand.handle)
    app.router.add_get("/public", stand.public)
    app.router.add_options("/client", preflight(CLIENT_METHODS))
    app.router.add_options("/oss", preflight(FILE_METHODS))
    async with TestServer(app) as server:
        stand.base = str(server.make_url("/"))
        yield stand


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def test_without_an_origin_nothing_is_checked_or_added(
    stand: Stand, session: ClientSession
) -> None:
    async with session.post(f"{stand.base}client") as response:
        assert await response.text() == "done"
        assert "Vary" not in response.headers
        assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("origin", [GOOD, "http://localhost:5173"])
async def test_an_allowed_page_reads_the_answer(
    stand: Stand, session: ClientSession, origin: str
) -> None:
    async with session.post(f"{stand.base}client", headers={"Origin": origin}) as response:
        assert await response.text() == "done"
        assert response.headers["Access-Control-Allow-Origin"] == origin
        assert response.headers["Access-Control-Expose-Headers"] == "request-id, etag"
        assert response.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize("origin", [BAD, "null", "", "x", f"{GOOD}, {GOOD}"])
async def test_another_page_does_nothing_and_reads_nothing(
    stand: Stand, session: ClientSession, origin: str
) -> None:
    async with session.post(f"{stand.base}client", headers={"Origin": origin}) as response:
        assert await response.text() == "OriginNotAllowed"
        assert "Access-Control-Allow-Origin" not in response.headers
        assert response.headers["Vary"] == "Origin"
    assert (stand.done, stand.cross_origin.refused) == (0, 1)


async def test_two_origins_are_none(stand: Stand, session: ClientSession) -> None:
    headers = [("Origin", GOOD), ("Origin", GOOD)]
    async with session.post(f"{stand.base}client", headers=headers) as response:
        assert await response.text() == "OriginNotAllowed"


async def test_a_preflight_lets_every_page_ask_with_the_headers_of_the_sdks(
    stand: Stand, session: ClientSession
) -> None:
    asked = "Content-Type,x-serverless-sign, X-Own,x-own, bad name,a\tb"
    headers = {"Origin": BAD, "Access-Control-Request-Headers": asked}
    async with session.options(f"{stand.base}client", headers=headers) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Access-Control-Allow-Methods"] == "POST"
        assert response.headers["Access-Control-Allow-Headers"] == (
            "content-type, x-basement-token, x-serverless-sign, x-serverless-ua, x-own"
        )
        assert response.headers["Access-Control-Max-Age"] == "600"
    async with session.options(f"{stand.base}oss") as response:
        assert response.headers["Access-Control-Allow-Methods"] == "GET, HEAD, POST, PUT"


async def test_a_preflight_with_many_names_is_bounded(stand: Stand, session: ClientSession) -> None:
    asked = ",".join(f"x-{n}" for n in range(1000))
    headers = {"Access-Control-Request-Headers": asked}
    async with session.options(f"{stand.base}client", headers=headers) as response:
        assert len(response.headers["Access-Control-Allow-Headers"].split(", ")) == 68


@pytest.mark.parametrize(("origin", "readable"), [(GOOD, True), (BAD, False), (None, True)])
async def test_what_is_public_is_given_to_all_and_read_by_some(
    stand: Stand, session: ClientSession, origin: str | None, readable: bool
) -> None:
    headers = {} if origin is None else {"Origin": origin}
    async with session.get(f"{stand.base}public", headers=headers) as response:
        assert await response.text() == str(readable)
        assert response.headers["Vary"] == "Origin"
        allowed = GOOD if origin == GOOD else None
        assert response.headers.get("Access-Control-Allow-Origin") == allowed
