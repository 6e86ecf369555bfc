"""The network of functions in a running program: reached, refused, counted, on the rung that `auto` finds."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.harness.management import Management
from tests.harness.program import Program

pytestmark = pytest.mark.e2e

FETCH = """
const http = require('http');
const atLoad = process.env.AT_LOAD
  ? new Promise((done) => http.get(process.env.AT_LOAD, (r) => r.resume().on('end', done)))
  : null;
module.exports = async (ctx) => {
  await atLoad;
  const told = [];
  for (const url of ctx.args.urls ?? []) {
    try {
      const text = await new Promise((done, fail) => http.get(url, { agent: false }, (r) => {
        let text = '';
        r.setEncoding('utf8').on('data', (part) => (text += part)).on('end', () => done(text));
      }).on('error', fail));
      told.push(text.length);
    } catch (error) {
      told.push(error.code);
    }
  }
  return told;
};
"""
PROXY = """
module.exports = async (ctx) => {
  const { httpProxyClient, function: other } = ctx.mpserverless;
  const { url, closed } = ctx.args;
  const told = {};
  told.get = await httpProxyClient.get(url, { a: 'b c' }, { 'X-H': 'v' });
  told.json = await httpProxyClient.postJson(url, { a: '世' });
  told.form = await httpProxyClient.postForm(url, { a: 'b c' });
  told.refused = await httpProxyClient.get(closed).catch(({ code, message }) => ({ code, message }));
  told.child = (await other.invoke('fetch', {})).result;
  told.db = await ctx.mpserverless.db.collection('c').find({}).catch(({ code }) => code);
  return told;
};
"""


class Echo(BaseHTTPRequestHandler):
    """Says what it was sent; `/big` is 100,000 bytes."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        told = {
            "method": self.command,
            "path": self.path,
            "type": self.headers.get("Content-Type"),
            "x-h": self.headers.get("X-H"),
            "body": self.rfile.read(size).decode(),
        }
        answer = b"x" * 100_000 if self.path == "/big" else json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET  # noqa: N815 - as above

    def log_message(self, *_args: Any) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, echo: str) -> Iterator[Program]:
    program = Program(
        tmp_path_factory.mktemp("network") / "data",
        YUNHAN_SANDBOX=os.environ.get("YUNHAN_TEST_RUNG", "auto"),
        YUNHAN_EGRESS_ALLOW=echo.removeprefix("http://"),
    )
    program.start()
    yield program
    assert program.stop() == 0, program.log()


@pytest.fixture(scope="module")
def admin(own: Program) -> Management:
    return Management(own.endpoint, own.access_key())


@pytest.fixture(scope="module")
def space_id(admin: Management) -> str:
    space_id = admin.space("network")[0]
    admin.deploy(space_id, "fetch", {"index.js": FETCH}, Timeout=30)
    admin.deploy(space_id, "proxy", {"index.js": PROXY}, Timeout=30)
    return space_id


@pytest.fixture(scope="module")
def gated(admin: Management, space_id: str) -> bool:
    """Whether the rung that runs has a gate; a rung without one has the system's network."""
    return admin.invoke(space_id, "fetch")["Bill"]["EgressBytes"] is not None


def test_what_goes_over_the_network_is_on_the_bill(
    admin: Management, space_id: str, echo: str, gated: bool
) -> None:
    if not gated:
        pytest.skip("the rung of this machine counts nothing")
    answer = admin.invoke(space_id, "fetch", {"urls": [f"{echo}/big", f"{echo}/big"]})
    assert json.loads(answer["Result"]) == [100_000, 100_000]
    bill = answer["Bill"]
    assert (bill["EgressConnections"], bill["EgressRefused"]) == (2, 0)
    assert 200_000 < bill["EgressBytes"] < 202_000
    assert admin.record(space_id, answer["RequestId"])["Bill"] == bill


def test_a_refused_connection_is_on_the_bill_and_in_the_log(
    admin: Management, space_id: str, own: Program, gated: bool
) -> None:
    if not gated:
        pytest.skip("the rung of this machine refuses nothing")
    answer = admin.invoke(space_id, "fetch", {"urls": [f"{own.endpoint}/healthz"]})
    assert json.loads(answer["Result"]) == ["EACCES"]
    assert (answer["Bill"]["EgressConnections"], answer["Bill"]["EgressRefused"]) == (0, 1)
    lines = json.dumps(admin.record(space_id, answer["RequestId"]))
    assert f"connection to 127.0.0.1:{own.port} refused: " in lines


def test_what_loading_sent_is_on_the_bill_of_the_call_that_loaded(
    admin: Management, space_id: str, echo: str, gated: bool
) -> None:
    if not gated:
        pytest.skip("the rung of this machine counts nothing")
    admin.call(
        "YunhanUpdateFunctionEnv",
        SpaceId=space_id,
        Name="fetch",
        Clear=True,
        Set=json.dumps({"AT_LOAD": f"{echo}/big"}),
    )
    try:
        cold, warm = (
            admin.invoke(space_id, "fetch")["Bill"],
            admin.invoke(space_id, "fetch")["Bill"],
        )
    finally:
        admin.call("YunhanUpdateFunctionEnv", SpaceId=space_id, Name="fetch", Clear=True)
    assert (cold["Cold"], cold["EgressConnections"]) == (True, 1)
    assert cold["EgressBytes"] > 100_000
    assert (warm["Cold"], warm["EgressConnections"], warm["EgressBytes"]) == (False, 0, 0)


def test_http_proxy_client_and_the_count_of_calls(
    admin: Management, space_id: str, echo: str, own: Program
) -> None:
    closed = f"{own.endpoint}/healthz"
    answer = admin.invoke(space_id, "proxy", {"url": f"{echo}/x", "closed": closed})
    assert answer["Success"], answer
    told = json.loads(answer["Result"])
    assert {told[name]["status"] for name in ("get", "json", "form")} == {200}
    assert told["get"]["headers"]["content-length"] == str(len(told["get"]["data"]))
    sent = {name: json.loads(told[name]["data"]) for name in ("get", "json", "form")}
    assert sent["get"] == {
        "method": "GET",
        "path": "/x?a=b+c",
        "type": None,
        "x-h": "v",
        "body": "",
    }
    assert (sent["json"]["type"], sent["json"]["body"]) == ("application/json", '{"a":"世"}')
    assert sent["form"]["type"] == "application/x-www-form-urlencoded"
    assert sent["form"]["body"] == "a=b%20c"
    said = f"connection to 127.0.0.1:{own.port} refused: "
    assert told["refused"]["code"] == "HttpProxy.Refused"
    assert said in told["refused"]["message"]
    assert (told["child"], told["db"]["result"]) == ([], [])
    row = admin.record(space_id, answer["RequestId"])
    assert said in json.dumps(row)
    assert row["Bill"]["Calls"] == answer["Bill"]["Calls"]
    assert answer["Bill"]["Calls"] == {
        "Function": 1,
        "Db": 1,
        "File": 0,
        "User": 0,
        "Http": 4,
        "Other": 0,
    }
    assert answer["Bill"]["LoadMs"] > 0


def test_the_command_line_tells_the_bill(own: Program, space_id: str, echo: str) -> None:
    args = json.dumps({"url": echo, "closed": own.endpoint})
    done = own.cli("invoke", "proxy", "--space", space_id, "--args", args)
    assert done.returncode == 0, done.stderr
    assert "4 http calls" in done.stderr
