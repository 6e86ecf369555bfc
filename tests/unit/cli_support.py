"""A management API that answers from a table, for tests of the command line."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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

    def run(self, *arguments: str, stdin: str = "") -> Result:
        return CliRunner().invoke(cli, arguments, input=stdin, env=self.environ, prog_name="yunhan")
