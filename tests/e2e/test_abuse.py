"""Who is let in, and how often, at a gateway behind a proxy: as apps, pages and probes see it."""

from __future__ import annotations

import itertools
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

import pytest

from tests.e2e.conftest import RunSdk, sdk_runner
from tests.harness.management import Management, ManagementError
from tests.harness.program import Program

pytestmark = pytest.mark.e2e

IP_LIMIT, USER_LIMIT = 20, 6
DENIED = "203.0.113.9"
PAGE = "https://shop.example.com"
ANONYMOUS = ["authorize", {"authType": "anonymous"}]
COUNT = """
let runs = 0;
module.exports = async () => (runs += 1);
"""
NO_HEADERS: Mapping[str, str] = {}
BOUNDARY = "of-this-form"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: bytes

    @property
    def code(self) -> str:
        said = json.loads(self.body)
        return str(said["Code"] if "Code" in said else said["error"]["code"])


@dataclass
class Stage:
    """A program that believes the proxies of loopback, and a space in it."""

    program: Program
    management: Management
    run_sdk: RunSdk
    space: tuple[str, str]
    addresses: Iterator[str]
    """Of clients that nobody has counted yet."""

    def app(self, headers: Mapping[str, str], *steps: list[Any]) -> list[dict[str, Any]]:
        """What the steps gave in an app whose requests arrive with these headers."""
        return self.run_sdk(
            "run.cjs",
            host="wechat",
            headers=headers,
            spaceId=self.space[0],
            clientSecret=self.space[1],
            steps=list(steps),
        )

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] = NO_HEADERS,
        body: bytes | None = None,
    ) -> Answer:
        """A request by hand."""
        request = urllib.request.Request(
            f"{self.program.endpoint}{path}", data=body, method=method, headers=dict(headers)
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    program = Program(
        tmp_path_factory.mktemp("abuse") / "data",
        YUNHAN_SANDBOX=os.environ.get("YUNHAN_TEST_RUNG", "auto"),
        YUNHAN_TRUSTED_PROXIES="127.0.0.1",
        YUNHAN_CLIENTS_DENY="203.0.113.0/24",
        YUNHAN_RATE_IP_LIMIT=str(IP_LIMIT),
        YUNHAN_RATE_IP_WINDOW_S="3600",
        YUNHAN_RATE_IP_BLOCK_S="3600",
        YUNHAN_RATE_USER_LIMIT=str(USER_LIMIT),
        YUNHAN_RATE_USER_WINDOW_S="3600",
        YUNHAN_RATE_USER_BLOCK_S="3600",
    )
    program.start()
    try:
        management = Management(program.endpoint, program.access_key())
        space = management.space("abuse")
        management.deploy(space[0], "count", {"index.js": COUNT}, HttpTriggerPath="/http/count")
        management.call("UpdateHttpTriggerConfig", SpaceId=space[0], EnableService=True)
        addresses = (f"198.51.100.{number}" for number in itertools.count(1))
        yield Stage(program, management, sdk_runner(program), space, addresses)
    finally:
        code = program.stop()
    assert code == 0, program.log()


def from_address(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


def codes(results: list[dict[str, Any]]) -> list[str | None]:
    """Of errors; None for each that went well. Those of authorize are in the decoded answer."""
    errors = [each.get("error") for each in results]
    return [error and (error.get("error") or error)["code"] for error in errors]


def test_an_address_asks_so_often_and_no_more(stage: Stage) -> None:
    busy, other = next(stage.addresses), next(stage.addresses)
    over = 5
    lines = [ANONYMOUS] * (IP_LIMIT + over)
    results = stage.app(from_address(busy), *lines)
    assert [each.get("value") for each in results[:IP_LIMIT]] == [{"success": True}] * IP_LIMIT
    refused = [each["error"]["error"] for each in results[IP_LIMIT:]]
    assert [each["code"] for each in refused] == ["Throttling.Api"] * over
    assert "try again in" in refused[0]["message"]
    # Whatever a client writes before what the proxy wrote is not believed.
    [forged] = stage.app(from_address(f"{other}, {busy}"), ANONYMOUS)
    assert forged["error"]["error"]["code"] == "Throttling.Api"
    [others] = stage.app(from_address(other), ANONYMOUS)
    assert others["value"] == {"success": True}
    [direct] = stage.app({}, ANONYMOUS)
    assert direct["value"] == {"success": True}


def test_one_count_for_clients_triggers_and_uploads(stage: Stage) -> None:
    headers = from_address(next(stage.addresses))
    trigger = f"/trigger/{stage.space[0]}/http/count"
    runs = [stage.ask("GET", trigger, headers) for _ in range(IP_LIMIT + 3)]
    assert [each.status for each in runs] == [200] * IP_LIMIT + [429] * 3
    assert [json.loads(each.body) for each in runs[:IP_LIMIT]] == list(range(1, IP_LIMIT + 1))
    assert runs[-1].code == "Throttling.Api"
    assert 3500 < int(runs[-1].headers["Retry-After"]) <= 3600
    form = stage.ask("POST", "/oss", headers, b"anything")
    assert (form.status, form.code) == (429, "Throttling.Api")
    assert stage.app(headers, ANONYMOUS)[0]["error"]["error"]["code"] == "Throttling.Api"
    again = stage.ask("GET", trigger, from_address(next(stage.addresses)))
    assert json.loads(again.body) == IP_LIMIT + 1, "what was refused did not run"


def test_a_user_asks_so_often_and_no_more(stage: Stage) -> None:
    headers = from_address(next(stage.addresses))
    results = stage.app(headers, ANONYMOUS, *[["getInfo"]] * (USER_LIMIT + 2))
    assert codes(results) == [None] * (1 + USER_LIMIT) + ["Throttling.Api"] * 2
    assert "this user" in results[-1]["error"]["message"]
    assert codes(stage.app(headers, ANONYMOUS, ["getInfo"])) == [None, None], "another user"


def test_addresses_that_are_not_served(stage: Stage) -> None:
    headers = from_address(DENIED)
    [refused] = stage.app(headers, ANONYMOUS)
    assert refused["error"]["error"]["code"] == "ClientIpNotAllowed"
    assert DENIED in refused["error"]["error"]["message"]
    for path in (f"/trigger/{stage.space[0]}/http/count", f"/oss/{stage.space[0]}/a.png", "/"):
        answer = stage.ask("GET", path, headers)
        assert (path, answer.status, answer.code) == (path, 403, "ClientIpNotAllowed")
    server = stage.ask("POST", "/server", headers, b"{}")
    assert (server.status, server.code) == (200, "ClientIpNotAllowed")
    with pytest.raises(ManagementError, match="Missing"):
        stage.management.call("CreateSpace")


def test_probes_are_neither_counted_nor_refused(stage: Stage) -> None:
    for address in (DENIED, next(stage.addresses)):
        for path in ("/healthz", "/readyz", "/metrics"):
            asked = [stage.ask("GET", path, from_address(address)) for _ in range(IP_LIMIT + 2)]
            assert {each.status for each in asked} == {200}


@pytest.fixture
def allowed(stage: Stage) -> Iterator[str]:
    """The space's list has the page's host; its id there."""
    added = stage.management.call(
        "AddCorsDomain", SpaceId=stage.space[0], Domain="shop.example.com"
    )
    yield added["DomainId"]
    domains = stage.management.call("ListCorsDomains", SpaceId=stage.space[0])["Domains"]
    for each in domains:
        stage.management.call("DeleteCorsDomain", SpaceId=stage.space[0], DomainId=each["DomainId"])


def page(stage: Stage, origin: str = PAGE) -> dict[str, str]:
    return {"Origin": origin, **from_address(next(stage.addresses))}


def test_pages_of_other_origins_are_refused(stage: Stage) -> None:
    for origin in (PAGE, "null", "https://localhost.example.com"):
        assert codes(stage.app(page(stage, origin), ANONYMOUS)) == ["OriginNotAllowed"]
        answer = stage.ask("POST", "/client", page(stage, origin), body_of(stage))
        assert answer.code == "OriginNotAllowed"
        assert "Access-Control-Allow-Origin" not in answer.headers
    for origin in ("http://localhost:5173", "http://127.0.0.1"):
        assert codes(stage.app(page(stage, origin), ANONYMOUS, ["getInfo"])) == [None, None]


def test_the_list_of_the_space_lets_pages_in(stage: Stage, allowed: str) -> None:
    assert codes(stage.app(page(stage), ANONYMOUS, ["getInfo"])) == [None, None]
    answer = stage.ask("POST", "/client", page(stage), body_of(stage))
    assert answer.code == "SignatureNotMatch"
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    elsewhere = page(stage, "https://evil.example.com")
    assert codes(stage.app(elsewhere, ANONYMOUS)) == ["OriginNotAllowed"]
    stage.management.call("DeleteCorsDomain", SpaceId=stage.space[0], DomainId=allowed)
    assert codes(stage.app(page(stage), ANONYMOUS)) == ["OriginNotAllowed"]


def test_uploads_of_pages_need_the_list_too(stage: Stage, allowed: str) -> None:
    params = {"env": "public", "filename": "a.txt", "size": 5}
    sign = ["forward", "serverless.file.resource.generateProximalSign", params]
    [_, first, second] = stage.app(page(stage), ANONYMOUS, sign, sign)
    taken = post_form(stage, first["value"]["result"], page(stage))
    assert (taken.status, taken.body) == (200, b"")
    assert taken.headers["Access-Control-Allow-Origin"] == PAGE
    stage.management.call("DeleteCorsDomain", SpaceId=stage.space[0], DomainId=allowed)
    refused = post_form(stage, second["value"]["result"], page(stage))
    assert (refused.status, refused.code) == (403, "OriginNotAllowed")
    assert "Access-Control-Allow-Origin" not in refused.headers
    mini_program = post_form(stage, second["value"]["result"], from_address(next(stage.addresses)))
    assert mini_program.status == 200


def test_pages_of_the_list_read_files(stage: Stage, allowed: str) -> None:
    assert allowed
    management, space_id = stage.management, stage.space[0]
    signed = management.call(
        "DescribeFileUploadSignedUrl",
        SpaceId=space_id,
        Filename="a.txt",
        ContentType="text/plain",
        Size=5,
        FileId="/read/a.txt",
    )
    kind = {"Content-Type": "text/plain", **from_address(next(stage.addresses))}
    put = stage.ask("PUT", signed["SignUrl"].removeprefix(stage.program.endpoint), kind, b"hello")
    assert put.status == 200, put
    management.call("RegisterFile", SpaceId=space_id, Id=signed["Id"])
    for name, status in (("a.txt", 200), ("b.txt", 404)):
        path = f"/oss/{space_id}/read/{name}"
        for origin, told in ((PAGE, PAGE), ("https://evil.example.com", None)):
            answer = stage.ask("GET", path, page(stage, origin))
            seen = (answer.status, answer.headers["Access-Control-Allow-Origin"])
            assert seen == (status, told)
            assert answer.headers["Vary"] == "Origin"
    whole = {**page(stage), "Range": "bytes=1-2"}
    part = stage.ask("GET", f"/oss/{space_id}/read/a.txt", whole)
    assert (part.status, part.body) == (206, b"el")
    assert part.headers["Access-Control-Allow-Origin"] == PAGE
    assert "etag" in part.headers["Access-Control-Expose-Headers"]


def body_of(stage: Stage) -> bytes:
    """Of a call that nobody signed."""
    return json.dumps({"spaceId": stage.space[0], "method": "x", "timestamp": 1}).encode()


def post_form(stage: Stage, signed: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
    """The upload of a signed form."""
    fields = {
        "success_action_status": "200",
        "key": signed["ossPath"],
        "policy": signed["policy"],
        "Signature": signed["signature"],
        "OSSAccessKeyId": signed["accessKeyId"],
    }
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    parts.append(
        f"--{BOUNDARY}\r\n"
        'Content-Disposition: form-data; name="file"; filename="a.txt"\r\n'
        f"Content-Type: text/plain\r\n\r\nhello\r\n--{BOUNDARY}--\r\n"
    )
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return stage.ask("POST", "/oss", {**headers, **kind}, "".join(parts).encode())


@pytest.mark.parametrize(("path", "method"), [("/client", "POST"), ("/oss", "POST")])
def test_preflights(stage: Stage, path: str, method: str) -> None:
    asked = {
        **page(stage),
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "content-type,x-serverless-sign",
    }
    answer = stage.ask("OPTIONS", path, asked)
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert method in answer.headers["Access-Control-Allow-Methods"]
    granted = answer.headers["Access-Control-Allow-Headers"].split(", ")
    assert {"content-type", "x-serverless-sign"} <= set(granted)
    assert "Access-Control-Allow-Credentials" not in answer.headers
