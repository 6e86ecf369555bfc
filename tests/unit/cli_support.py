"""A management API that answers from a table, for tests of the command line."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from click.testing import CliRunner, Result

from runtime.cli.main import cli
from runtime.signatures.rpc_v1 import verify

KEY_ID = "test-key-id"
SECRET = "test-key-secret"
SPACE_ID = "mp-00000000-0000-4000-8000-000000000001"
OTHER_SPACE_ID = "mp-00000000-0000-4000-8000-000000000002"
PEM = "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n"

Answer = Mapping[str, Any] | Callable[[dict[str, str]], Mapping[str, Any]]


class RefusalError(Exception):
    """Raised by an answer: an error of the management API."""

    def __init__(self, code: str, message: str = "no", status: int = 400) -> None:
        super().__init__(code)
        self.body = {"RequestId": "R", "HostId": "h", "Code": code, "Message": message}
        self.status = status


class FakeManagement:
    """What was asked is in `calls` and `uploads`; `answers` may be changed at any time."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.answers: dict[str, Answer] = {}
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.uploads: list[bytes] = []
        self.upload_status = 200
        self.ready_status = 200
        self.raw_answer: bytes | None = None

    def answer(self, form: dict[str, str]) -> tuple[int, bytes]:
        if self.raw_answer is not None:
            return 200, self.raw_answer
        assert verify("POST", form, SECRET), "the request is not signed correctly"
        action = form["Action"]
        self.calls.append((action, form))
        answer = self.answers[action]
        try:
            body = answer(form) if callable(answer) else answer
        except RefusalError as refusal:
            return refusal.status, json.dumps(refusal.body).encode()
        return 200, json.dumps({"RequestId": "R", **body}).encode()

    def asked(self, action: str) -> list[dict[str, str]]:
        """Own parameters of every call of this action."""
        common = {
            "Action",
            "Version",
            "Format",
            "AccessKeyId",
            "SignatureMethod",
            "SignatureVersion",
            "SignatureNonce",
            "Timestamp",
            "Signature",
        }
        return [
            {name: value for name, value in form.items() if name not in common}
            for called, form in self.calls
            if called == action
        ]


@contextmanager
def serving(fake: FakeManagement) -> Iterator[FakeManagement]:
    """The fake behind a loopback port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = dict(parse_qsl(self._body().decode(), keep_blank_values=True))
            self._reply(*fake.answer(form))

        def do_PUT(self) -> None:
            fake.uploads.append(self._body())
            refusal = RefusalError("InvalidPackage", "the zip is refused").body
            self._reply(fake.upload_status, json.dumps(refusal).encode())

        def do_GET(self) -> None:
            self._reply(fake.ready_status, b"{}")

        def log_message(self, *_args: Any) -> None:
            pass

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers["Content-Length"]))

        def _reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        fake.endpoint = f"http://127.0.0.1:{server.server_port}"
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()


def free_address() -> str:
    """A loopback address that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


class Shell:
    """Runs commands in an environment of their own."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.environ: dict[str, str] = {"YUNHAN_DATA_DIR": str(data_dir)}

    def announce(self, endpoint: str) -> None:
        """As a running program does."""
        self.data_dir.mkdir(exist_ok=True)
        key = {"accessKeyId": KEY_ID, "accessKeySecret": SECRET}
        (self.data_dir / "access-key.json").write_text(json.dumps(key))
        (self.data_dir / "running.json").write_text(json.dumps({"endpoint": endpoint, "pid": 1}))

    def run_worker(self) -> None:
        """As `yunhan worker` does."""
        folder = self.data_dir / "worker"
        folder.mkdir(parents=True)
        (folder / "running.json").write_text(json.dumps({"endpoint": "", "pid": 1}))

    def run(self, *arguments: str, stdin: str = "") -> Result:
        return CliRunner().invoke(cli, arguments, input=stdin, env=self.environ, prog_name="yunhan")


def two_spaces() -> dict[str, Answer]:
    """Answers of a program with the spaces `first` and `云函空间`, and the function `greet`."""
    return {
        "ListSpace": {
            "Count": 2,
            "Spaces": [space_row(SPACE_ID, "first"), space_row(OTHER_SPACE_ID, "云函空间")],
        },
        "CreateSpace": {"SpaceId": SPACE_ID},
        "DescribeSpaceClientConfig": {
            "SpaceId": SPACE_ID,
            "Name": "first",
            "ApiKey": "client-secret",
            "PrivateKey": PEM,
            "Endpoint": "http://127.0.0.1:8700",
            "FileUploadEndpoint": "127.0.0.1:8700",
        },
        "DescribeFunction": {"Function": function_row("greet")},
        "UpdateFunction": {},
        "YunhanDescribeServer": {"NodeVersions": [20, 24]},
    }


def space_row(space_id: str, name: str) -> dict[str, Any]:
    return {
        "SpaceId": space_id,
        "Name": name,
        "Desc": "",
        "Status": "RUNNING",
        "GmtCreate": 1_795_227_104_462,
    }


def function_row(name: str, *, http_path: str = "") -> dict[str, Any]:
    return {
        "Name": name,
        "Desc": "says hello",
        "HttpTriggerPath": http_path,
        "CreatedAt": "2026-11-21T02:11:44.462Z",
        "ModifiedAt": "2026-11-21T02:11:44.462Z",
        "Spec": {
            "Runtime": "Node.js 14",
            "Memory": "512 MB",
            "Timeout": "5s",
            "InstanceConcurrency": 2,
        },
    }


class FakeTriggers:
    """The actions on one space's HTTP triggers, answered as the program does."""

    def __init__(self, fake: FakeManagement) -> None:
        self.row: dict[str, Any] = {
            "EnableService": False,
            "DefaultEndpoint": f"{SPACE_ID}.fn.localhost:8743",
            "CustomDomain": "",
            "CustomDomainCname": "",
            "CustomDomainCertificateInfo": "",
            "PathEndpoint": f"http://127.0.0.1:8700/trigger/{SPACE_ID}",
            "RequestMaxBytes": 4096,
            "ResponseMaxBytes": 4096,
            "RequestMaxBytesDefault": 4096,
            "ResponseMaxBytesDefault": 4096,
            "BodyMaxBytes": 1_048_576,
        }
        fake.answers |= {
            "YunhanDescribeHttpTriggerConfig": lambda _: self.row,
            "UpdateHttpTriggerConfig": self._update,
            "YunhanUpdateHttpTriggerLimits": self._limit,
        }

    def certify(self, not_after: datetime) -> None:
        """The custom domain has a certificate until then."""
        info = {
            "subject": "CN=api.example.com",
            "issuer": "CN=Authority",
            "names": ["api.example.com", "www.example.com"],
            "notBefore": "2026-01-01T00:00:00+00:00",
            "notAfter": not_after.isoformat(),
            "fingerprint": "ab" * 32,
        }
        self.row["CustomDomainCertificateInfo"] = json.dumps(info)

    def _update(self, form: dict[str, str]) -> dict[str, Any]:
        self.row["EnableService"] = {"true": True, "false": False}[form["EnableService"]]
        if "CustomDomain" in form:
            domain = form["CustomDomain"]
            cname = f"{SPACE_ID}.fn.localhost" if domain else ""
            self.row |= {"CustomDomain": domain, "CustomDomainCname": cname}
        return self.row

    def _limit(self, form: dict[str, str]) -> dict[str, Any]:
        for what in ("RequestMaxBytes", "ResponseMaxBytes"):
            if what in form:
                self.row[what] = int(form[what]) or self.row[f"{what}Default"]
        return self.row
