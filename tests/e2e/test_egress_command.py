"""Egress rules of spaces and functions in a running program, set by the command line."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.harness.management import Management
from tests.harness.polling import poll
from tests.harness.program import Program

pytestmark = pytest.mark.e2e

SOURCE = """
const http = require('http');
let calls = 0;
const own = (url) => new Promise((done) => {
  http.get(url, { agent: false }, (r) => r.resume().on('end', () => done('reached')))
    .on('error', (error) => done(error.code));
});
module.exports = async (ctx) => ({
  own: await own(ctx.args.url),
  proxy: await ctx.mpserverless.httpProxyClient.get(ctx.args.url)
    .then(() => 'reached', ({ code }) => code),
  calls: ++calls,
});
"""
REACHED = {"own": "reached", "proxy": "reached"}
REFUSED = {"own": "EACCES", "proxy": "HttpProxy.Refused"}


class Hello(BaseHTTPRequestHandler):
    """Answers everything with nothing."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Host and port of a service of the worker's own machine."""
    made = ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"127.0.0.1:{made.server_port}"
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    program = Program(
        tmp_path_factory.mktemp("rules") / "data",
        YUNHAN_SANDBOX=os.environ.get("YUNHAN_TEST_RUNG", "auto"),
    )
    program.start()
    yield program
    assert program.stop() == 0, program.log()


@pytest.fixture(scope="module")
def admin(own: Program) -> Management:
    return Management(own.endpoint, own.access_key())


@pytest.fixture(scope="module")
def walls(admin: Management) -> bool:
    return bool(admin.call("YunhanDescribeServer")["Isolates"])


@pytest.fixture
def space_id(admin: Management) -> Iterator[str]:
    space_id = admin.space("rules")[0]
    for name in ("one", "two"):
        admin.deploy(space_id, name, {"index.js": SOURCE}, Timeout=30)
    yield space_id
    admin.call("DeleteSpace", SpaceId=space_id)


def call(admin: Management, space_id: str, server: str, name: str = "one") -> dict[str, Any]:
    answer = admin.invoke(space_id, name, {"url": f"http://{server}/"})
    assert answer["Success"], answer
    return {**json.loads(answer["Result"]), "request": answer["RequestId"]}


def of_walls(found: dict[str, Any], *, walls: bool) -> dict[str, str]:
    """What the rules decided: without walls a function's own sockets are the system's."""
    if not walls:
        assert found["own"] == "reached"
        return {"proxy": found["proxy"]}
    return {"own": found["own"], "proxy": found["proxy"]}


def expected(both: dict[str, str], *, walls: bool) -> dict[str, str]:
    return both if walls else {"proxy": both["proxy"]}


def run(own: Program, *arguments: str) -> str:
    done = own.cli("egress", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_rule_of_the_space_opens_a_service_and_its_removal_closes_it(
    own: Program, admin: Management, space_id: str, server: str, walls: bool
) -> None:
    refused = call(admin, space_id, server)
    assert of_walls(refused, walls=walls) == expected(REFUSED, walls=walls)
    warm = call(admin, space_id, server)
    assert warm["calls"] == 2

    assert f"{server}  the space  inherit  a loopback address" in run(
        own, "allow", space_id, server
    )
    opened = call(admin, space_id, server)
    assert of_walls(opened, walls=walls) == expected(REACHED, walls=walls)
    assert opened["calls"] == 1, "a warm sandbox kept its old rules"
    assert call(admin, space_id, server, "two")["proxy"] == "reached"
    assert call(admin, space_id, server)["calls"] == 2

    run(own, "remove", space_id, server)
    closed = call(admin, space_id, server)
    assert of_walls(closed, walls=walls) == expected(REFUSED, walls=walls)
    assert closed["calls"] == 1, "a warm sandbox kept its old, wider rules"
    assert call(admin, space_id, server, "two")["proxy"] == "HttpProxy.Refused"

    said = f"connection to {server} refused: 127.0.0.1 is a loopback address"
    assert said in logs_of(own, space_id, closed["request"])
    assert "egress_opens_special_addresses" in own.log()


def test_a_function_extends_and_closes_itself(
    own: Program, admin: Management, space_id: str, server: str, walls: bool
) -> None:
    run(own, "allow", space_id, server, "--function", "one")
    found = {name: call(admin, space_id, server, name) for name in ("one", "two")}
    assert of_walls(found["one"], walls=walls) == expected(REACHED, walls=walls)
    assert of_walls(found["two"], walls=walls) == expected(REFUSED, walls=walls)

    run(own, "mode", space_id, "none")
    assert call(admin, space_id, server)["proxy"] == "reached"
    run(own, "allow", space_id, server)
    assert call(admin, space_id, server, "two")["proxy"] == "reached"
    run(own, "mode", space_id, "none", "--function", "two")
    found = {name: call(admin, space_id, server, name) for name in ("one", "two")}
    assert of_walls(found["one"], walls=walls) == expected(REACHED, walls=walls)
    assert of_walls(found["two"], walls=walls) == expected(REFUSED, walls=walls)
    told = json.loads(run(own, "show", space_id, "--json"))
    assert told["functions"] == [
        {"function": "one", "mode": "inherit", "allow": [server]},
        {"function": "two", "mode": "none", "allow": []},
    ]


def test_another_space_has_nothing_of_it(
    own: Program, admin: Management, space_id: str, server: str
) -> None:
    other = admin.space("other")[0]
    admin.deploy(other, "one", {"index.js": SOURCE}, Timeout=30)
    run(own, "allow", space_id, "0.0.0.0/0")
    assert call(admin, space_id, server)["proxy"] == "reached"
    assert call(admin, other, server)["proxy"] == "HttpProxy.Refused"


def test_a_wrong_rule_is_refused_with_its_place(own: Program, space_id: str) -> None:
    done = own.cli("egress", "allow", space_id, "::1", "10.0.0.1/8", "--json")
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "InvalidEgressRule"
    assert (
        "Allow[1]: the egress rule '10.0.0.1/8' has bits set behind its prefix"
        in (error["message"])
    )


def logs_of(own: Program, space_id: str, request_id: str) -> str:
    """What `yunhan logs` prints of one invocation, once it is written."""
    words = ("logs", "one", "--space", space_id, "--request-id", request_id)

    def printed() -> str | None:
        done = own.cli(*words)
        return done.stdout if done.returncode == 0 else None

    # records are written in batches behind the call
    return poll(printed, 10, told=lambda: own.cli(*words).stderr)
