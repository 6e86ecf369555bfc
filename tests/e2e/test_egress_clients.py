"""Network clients from npm in functions of a running program, on every rung with walls: through the egress
socket to real servers on loopback, which an explicit rule allows; refused where none does; and the bill."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from sandbox.api import SandboxError
from sandbox.landlock_privileges import check_privileges
from sandbox.landlock_rules import landlock_abi
from sandbox.spawners.docker_fitness import engine_url
from tests.harness.egress_servers import (
    CLIENTS,
    PASSWORD,
    USER,
    Certificate,
    make_certificate,
    mariadb_missing,
    mariadb_server,
    mongodb_servers,
    node_servers,
)
from tests.harness.lacking import lacks
from tests.harness.management import Management
from tests.harness.program import Program

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024
BIG = 8 * MIB
SMALL = 100_000
HTTP_CLIENTS = (
    *("node", "nodeChunked", "fetch", "axios", "got", "nodeFetch"),
    *("urllib2", "urllib4", "undici", "httpclient"),
)
FORMS = ("127.0.0.1", "localhost")
"""By address, and by a name that resolves to it."""


def sized(size: int) -> dict[str, Any]:
    """What both sides find of the payload of `size` bytes."""
    payload = (bytes(range(251)) * (size // 251 + 1))[:size]
    return {"size": size, "sha": hashlib.sha256(payload).hexdigest()}


@dataclass
class Live:
    """A program on one rung with the clients deployed, and the ports of the servers by name."""

    program: Program
    admin: Management
    space_id: str
    ports: dict[str, int]

    def act(self, act: str, function: str = "clients", **args: Any) -> tuple[Any, dict[str, Any]]:
        """What the act gives, and the whole answer."""
        answer = self.admin.invoke(self.space_id, function, {"act": act, **args})
        assert answer["Success"], json.dumps(answer)
        return json.loads(answer["Result"]), answer

    def base(self, scheme: str, host: str) -> str:
        return f"{scheme}://{host}:{self.ports[scheme]}"

    def log(self, request_id: str) -> str:
        return json.dumps(self.admin.record(self.space_id, request_id), ensure_ascii=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("egress-tls") / "tls")


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> Iterator[dict[str, int]]:
    """Ports by name; without `mysql` where MariaDB is not installed."""
    if not (CLIENTS / "node_modules").exists():
        lacks(
            "the packages of tests/egress_clients are not installed; run the tests by `make test`"
        )
    folder = tmp_path_factory.mktemp("egress-servers")
    with node_servers(certificate) as ports, mongodb_servers(folder / "db", certificate) as mongodb:
        ports |= {f"mongodb-{name}": port for name, port in mongodb.items()}
        if mariadb_missing() is not None:
            yield ports
            return
        with mariadb_server(folder / "mysql", certificate) as mysql:
            yield ports | {"mysql": mysql}


@pytest.fixture(scope="module")
def package(certificate: Certificate) -> dict[str, bytes]:
    """The function, its node_modules as `npm ci` left them, and the authority that it trusts."""
    files = {
        "index.js": (CLIENTS / "live" / "index.js").read_bytes(),
        "ca.pem": certificate.ca.read_bytes(),
    }
    modules = CLIENTS / "node_modules"
    for path in modules.rglob("*"):
        at = path.relative_to(modules)
        if (
            path.is_file()
            and not at.parts[0].startswith(".")
            and path.suffix not in {".map", ".ts"}
        ):
            files[f"node_modules/{at}"] = path.read_bytes()
    return files


@pytest.fixture(scope="module", params=["bubblewrap", "landlock", "docker"])
def live(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    servers: dict[str, int],
    package: dict[str, bytes],
) -> Iterator[Live]:
    rung: str = request.param
    reason = missing(rung)
    if reason is not None:
        lacks(reason)
    by_name = {"redis", "postgres"}
    rules = [
        f"{'localhost' if name in by_name else '127.0.0.1'}:{port}"
        for name, port in servers.items()
        if name != "closed"
    ]
    program = Program(
        tmp_path_factory.mktemp(f"egress-{rung}") / "data",
        YUNHAN_SANDBOX=rung,
        YUNHAN_EGRESS_ALLOW=",".join(rules),
        YUNHAN_SANDBOXES_PREWARMED="0",
    )
    program.start()
    admin = Management(program.endpoint, program.access_key())
    space_id = admin.space("clients")[0]
    for name in ("clients", "refused"):
        admin.deploy(space_id, name, package, Timeout=60, Memory=512)
    yield Live(program, admin, space_id, servers)
    assert program.stop() == 0, program.log()


def missing(rung: str) -> str | None:
    """Why this rung cannot be tested on this machine."""
    if rung == "bubblewrap":
        return None if shutil.which("bwrap") else "bubblewrap is not installed"
    if rung == "landlock":
        try:
            check_privileges()
            landlock_abi()
        except SandboxError as error:
            return str(error)
        return None
    url = engine_url()
    with socket.socket(socket.AF_UNIX) as knock:
        try:
            knock.connect(url.removeprefix("unix://"))
        except OSError as error:
            return f"no Docker engine answers at {url}: {error}"
    return None


# --- HTTP -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", HTTP_CLIENTS)
@pytest.mark.parametrize(("scheme", "host"), [("http", "127.0.0.1"), ("https", "localhost")])
def test_eight_megabytes_up_and_down_arrive_whole_and_are_on_the_bill(
    live: Live, client: str, scheme: str, host: str
) -> None:
    told, answer = live.act("transfer", client=client, base=live.base(scheme, host), size=BIG)
    assert told == {"up": sized(BIG), "down": sized(BIG)}
    moved = answer["Bill"]["EgressBytes"]
    assert 2 * BIG < moved < 2 * BIG * 1.01 + 32_768
    assert answer["Bill"]["EgressConnections"] in {0, 1, 2}, "0: one that was kept"
    assert answer["Bill"]["EgressRefused"] == 0


@pytest.mark.parametrize("client", HTTP_CLIENTS)
def test_the_other_forms_of_address(live: Live, client: str) -> None:
    for scheme, host in (("http", "localhost"), ("https", "127.0.0.1")):
        told, _ = live.act("transfer", client=client, base=live.base(scheme, host), size=SMALL)
        assert told == {"up": sized(SMALL), "down": sized(SMALL)}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_kept_connection_is_one_on_the_bill(live: Live, scheme: str) -> None:
    base = live.base(scheme, "localhost")
    kept, answer = live.act("keepAlive", base=base, keep=True, count=5)
    assert (kept, answer["Bill"]["EgressConnections"]) == (1, 1)
    fresh, answer = live.act("keepAlive", base=base, keep=False, count=5)
    assert (fresh, answer["Bill"]["EgressConnections"]) == (5, 5)


def test_redirects_also_to_another_scheme_and_host(live: Live) -> None:
    to = live.base("http", "localhost") + "/there"
    told, _ = live.act("redirect", base=live.base("http", "127.0.0.1"), to=to)
    assert told == {"node": [302, to], "axios": "/there", "fetch": "/there", "nodeFetch": "/there"}


@pytest.mark.parametrize("client", ["ws", "native"])
@pytest.mark.parametrize(("scheme", "host"), [("http", "127.0.0.1"), ("https", "localhost")])
def test_web_sockets(live: Live, client: str, scheme: str, host: str) -> None:
    url = live.base(scheme, host).replace("http", "ws")
    told, answer = live.act("socket", client=client, url=url, size=MIB)
    assert told == ["one", "二", sized(MIB)]
    assert 2 * MIB < answer["Bill"]["EgressBytes"] < 2 * MIB * 1.01 + 32_768


# --- databases ------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", FORMS)
@pytest.mark.parametrize("secure", [False, True], ids=["password", "TLS"])
def test_mongodb(live: Live, host: str, secure: bool) -> None:
    if secure:
        url = f"mongodb://{host}:{live.ports['mongodb-tls']}/?directConnection=true"
    else:
        login = f"{USER}:{quote(PASSWORD, safe='')}"
        where = f"{host}:{live.ports['mongodb-plain']}"
        url = f"mongodb://{login}@{where}/?authSource=admin&directConnection=true"
    told, answer = live.act("mongodb", url=url, secure=secure, size=MIB)
    assert told == {"found": 200, "text": "云 7", "paid": 1, "down": sized(MIB)}
    assert 2 * MIB < answer["Bill"]["EgressBytes"] < 2 * MIB + 200_000
    assert answer["Bill"]["EgressConnections"] >= 1


def test_mongodb_with_a_wrong_password(live: Live) -> None:
    url = f"mongodb://{USER}:wrong@localhost:{live.ports['mongodb-plain']}/?directConnection=true"
    answer = live.admin.invoke(live.space_id, "clients", {"act": "mongodb", "url": url, "size": 1})
    assert not answer["Success"]
    assert "authentication failed" in json.dumps(answer).lower()


@pytest.mark.parametrize("client", ["mysql2", "mysql"])
@pytest.mark.parametrize("host", FORMS)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_mysql(live: Live, client: str, host: str, secure: bool) -> None:
    if "mysql" not in live.ports:
        lacks(mariadb_missing() or "")
    login: dict[str, Any] = {"user": USER, "password": PASSWORD, "database": "shop"}
    where: dict[str, Any] = {"host": host, "port": live.ports["mysql"], "secure": secure}
    told, answer = live.act("mysql", client=client, size=MIB, **where, **login)
    assert told == {"total": 21, "text": "云 7", "down": sized(MIB), "encrypted": secure}
    # As text: one byte in four of this payload may be written as two.
    assert 2 * MIB < answer["Bill"]["EgressBytes"] < 3 * MIB + 100_000
    assert answer["Bill"]["EgressConnections"] == 1


def test_redis_and_postgres_by_a_rule_for_their_name(live: Live) -> None:
    """The rule names `localhost`: the address behind it stays closed."""
    assert live.act("ioredis", host="localhost", port=live.ports["redis"])[0] == "v"
    url = f"postgres://u:p@localhost:{live.ports['postgres']}/d"
    assert live.act("pg", url=url)[0] == [{"n": 1}]
    for client in ("ioredis", "pg"):
        port = live.ports["redis" if client == "ioredis" else "postgres"]
        told, _ = live.act("refused", client=client, host="127.0.0.1", port=port)
        assert "EACCES" in told


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", FORMS)
@pytest.mark.parametrize(
    "client",
    [
        *("node", "fetch", "axios", "got", "nodeFetch", "urllib2", "urllib4", "undici"),
        *("httpclient", "ws", "native", "mongodb", "mysql2", "mysql", "ioredis", "pg"),
    ],
)
def test_a_port_without_a_rule_is_an_error_a_line_and_a_count(
    live: Live, client: str, host: str
) -> None:
    port = live.ports["closed"]
    where = {"base": f"http://{host}:{port}/", "host": host, "port": port}
    told, answer = live.act("refused", "refused", client=client, **where)
    assert told is not None, "it got through"
    if client != "native":  # browsers' WebSocket tells no reason, as a matter of principle
        assert "EACCES" in told
    bill = answer["Bill"]
    assert (bill["EgressConnections"], bill["EgressBytes"]) == (0, 0)
    assert bill["EgressRefused"] >= 1
    assert f"connection to {host}:{port} refused: " in live.log(answer["RequestId"])


# --- the worker's own client, and the rest ----------------------------------------------------------


@pytest.mark.parametrize("host", FORMS)
def test_http_proxy_client_is_on_the_bill(live: Live, host: str) -> None:
    size = 500_000
    told, answer = live.act("proxied", "refused", base=live.base("http", host), size=size)
    assert told == {"up": {"size": size, "sha": hashlib.sha256(b"x" * size).hexdigest()}} | {
        "size": size
    }
    bill = answer["Bill"]
    assert (bill["EgressConnections"], bill["EgressRefused"]) == (2, 0)
    assert 2 * size < bill["EgressBytes"] < 2 * size + 2000
    assert bill["Calls"]["Http"] == 2


def test_http_proxy_client_refused_is_on_the_bill(live: Live) -> None:
    args = {"act": "proxyRefused", "url": f"http://localhost:{live.ports['closed']}/"}
    answer = live.admin.invoke(live.space_id, "refused", args)
    assert not answer["Success"]
    bill = answer["Bill"]
    assert (bill["EgressConnections"], bill["EgressRefused"], bill["EgressBytes"]) == (0, 1, 0)
    told = f"connection to localhost:{live.ports['closed']} refused: "
    assert told in live.log(answer["RequestId"])


def test_interfaces_are_told_without_an_error(live: Live) -> None:
    interfaces, _ = live.act("interfaces")
    assert all(one["internal"] for addresses in interfaces.values() for one in addresses)
