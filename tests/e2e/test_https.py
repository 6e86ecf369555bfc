from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPSConnection

import pytest

from tests.harness.management import Management
from tests.harness.program import Program, default_node
from tests.unit.tls.tls_support import Issued, issue

pytestmark = pytest.mark.e2e

SOURCE = """
module.exports = async (ctx) => ({
  mpserverlessComposedResponse: true,
  headers: { 'content-type': 'text/html', 'set-cookie': ['a=1; Domain=example.com', 'b=2'] },
  body: ctx.args.path + ctx.args.headers.host,
});
"""
DOMAIN = "shop.example.com"


class Answer:
    def __init__(self, program: Program, host: str, path: str, trust: ssl.SSLContext) -> None:
        """GET over TLS under a host name that need not resolve."""
        connection = _ByName(program.tls_port, host, trust)
        try:
            connection.request("GET", path, headers={"Host": host})
            response = connection.getresponse()
            self.status = response.status
            self.headers = response.headers
            self.body = response.read().decode()
        finally:
            connection.close()


class _ByName(HTTPSConnection):
    def __init__(self, port: int, name: str, trust: ssl.SSLContext) -> None:
        super().__init__("127.0.0.1", port, timeout=10)
        self._name = name
        self._trust = trust

    def connect(self) -> None:
        super(HTTPSConnection, self).connect()
        self.sock = self._trust.wrap_socket(self.sock, server_hostname=self._name)


@pytest.fixture(scope="module")
def space_id(management: Management) -> Iterator[str]:
    space_id, _ = management.space("https")
    management.deploy(space_id, "page", {"index.js": SOURCE})
    management.call("UpdateFunction", SpaceId=space_id, Name="page", HttpTriggerPath="/http/page")
    management.call("UpdateHttpTriggerConfig", SpaceId=space_id, EnableService=True)
    yield space_id
    management.call("DeleteSpace", SpaceId=space_id)


@pytest.fixture(scope="module")
def local(program: Program) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(program.ca_path))


def test_a_space_has_a_name_under_the_local_authority(
    program: Program, space_id: str, local: ssl.SSLContext
) -> None:
    answer = Answer(program, f"{space_id}.fn.localhost", "/http/page", local)
    assert (answer.status, answer.body) == (200, f"/http/page{space_id}.fn.localhost")
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.headers.get_all("set-cookie") == ["a=1", "b=2"]
    described = json.loads(program.cli("trigger", "show", space_id, "--json").stdout)
    assert described["addresses"]["host"] == f"https://{space_id}.fn.localhost:{program.tls_port}"


def test_node_trusts_it_by_one_variable(program: Program, space_id: str) -> None:
    address = f"https://{space_id}.fn.localhost:{program.tls_port}/http/page"
    code = (
        "const lookup = (_h, _o, done) => done(null, [{ address: '127.0.0.1', family: 4 }]);"
        f"require('https').get('{address}', {{ lookup, agent: false }},"
        " (r) => { console.log(r.statusCode); r.resume(); })"
        ".on('error', (e) => console.log(e.code));"
    )
    ca_path = program.data_dir / "tls" / "ca.pem"
    said = [
        subprocess.run(
            [default_node(), "-e", code],
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout.strip()
        for environment in ({"NODE_EXTRA_CA_CERTS": str(ca_path)}, {})
    ]
    assert said == ["200", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"]


def test_the_gateway_itself_answers_over_tls(program: Program, local: ssl.SSLContext) -> None:
    assert Answer(program, "localhost", "/healthz", local).status == 200


def test_a_custom_domain_has_its_own_certificate(
    program: Program, management: Management, space_id: str, local: ssl.SSLContext
) -> None:
    now = datetime.now(UTC)
    issued = _issue(now)
    trust = ssl.create_default_context(cadata=issued.pem)
    with pytest.raises(ssl.SSLCertVerificationError):
        Answer(program, DOMAIN, "/http/page", trust)
    management.call(
        "UpdateHttpTriggerConfig",
        SpaceId=space_id,
        EnableService=True,
        CustomDomain=DOMAIN,
        CustomDomainCertificate=issued.pem,
        CustomDomainPrivateKey=issued.key_pem,
    )
    answer = Answer(program, DOMAIN, "/http/page", trust)
    assert (answer.status, answer.body) == (200, f"/http/page{DOMAIN}")
    assert "content-disposition" not in answer.headers
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers.get_all("set-cookie") == ["a=1; Domain=example.com", "b=2"]
    assert Answer(program, DOMAIN, "/client", trust).status == 404

    connection = _ByName(program.tls_port, DOMAIN, trust)
    for host, path in (("127.0.0.1", "/metrics"), (f"{space_id}.fn.localhost", "/http/page")):
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["error"]["code"]) == (
            421,
            "MisdirectedRequest",
        )
    connection.close()

    other = _issue(now)
    management.call(
        "UpdateHttpTriggerConfig",
        SpaceId=space_id,
        EnableService=True,
        CustomDomainCertificate=other.pem,
        CustomDomainPrivateKey=other.key_pem,
    )
    with pytest.raises(ssl.SSLCertVerificationError):
        Answer(program, DOMAIN, "/http/page", trust)
    renewed = ssl.create_default_context(cadata=other.pem)
    assert Answer(program, DOMAIN, "/http/page", renewed).status == 200

    management.call(
        "UpdateHttpTriggerConfig", SpaceId=space_id, EnableService=True, CustomDomain=""
    )
    with pytest.raises(ssl.SSLCertVerificationError):
        Answer(program, DOMAIN, "/http/page", renewed)
    assert issued.key_pem not in program.log()


def test_a_name_of_a_space_opens_nothing_else(
    program: Program, space_id: str, local: ssl.SSLContext
) -> None:
    connection = _ByName(program.tls_port, f"{space_id}.fn.localhost", local)
    connection.request("GET", "/metrics", headers={"Host": "localhost"})
    assert connection.getresponse().status == 421
    connection.close()


def test_doctor_finds_listener_and_authority(program: Program) -> None:
    assert (program.data_dir / "tls").stat().st_mode & 0o077 == 0
    found = program.cli("doctor", "--json")
    names = {finding["name"]: finding for finding in json.loads(found.stdout)["findings"]}
    assert names["https address"]["state"] == "ok"
    assert names["local CA"]["state"] == "ok"


def _issue(now: datetime) -> Issued:
    return issue(DOMAIN, start=now - timedelta(days=1), end=now + timedelta(days=90))
