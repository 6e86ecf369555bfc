"""Hostile functions and requests: each gets its own outcome and code, and the next call works."""

from __future__ import annotations

import gzip
import http.client
import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness.management import Management
from tests.harness.program import Program
from tests.harness.sdk_http import client_body

pytestmark = pytest.mark.e2e

HOSTILE = {
    "throwstext": ("module.exports = () => { throw 'just text' }", "function_error"),
    "throwsnull": ("module.exports = () => { throw null }", "function_error"),
    "cycle": (
        "module.exports = () => { const a = {}; a.a = a; return a }",
        "result_not_serializable",
    ),
    "bigint": ("module.exports = () => ({ n: 10n })", "result_not_serializable"),
    "huge": ("module.exports = () => 'x'.repeat(100 * 1024 * 1024)", "result_too_large"),
    "never": ("module.exports = () => new Promise(() => {})", "timeout"),
    "loop": ("module.exports = () => { for (;;) {} }", "timeout"),
    "exit0": ("module.exports = () => process.exit(0)", "exited"),
    "exit3": ("module.exports = () => process.exit(3)", "exited"),
    "abort": ("module.exports = () => process.abort()", "crashed"),
    "segfault": ("module.exports = () => { process.kill(process.pid, 'SIGSEGV') }", "crashed"),
    "kill": ("module.exports = () => { process.kill(process.pid, 9) }", "sandbox_lost"),
    "rejects": (
        "module.exports = async () => { Promise.reject(new Error('late'));"
        " await new Promise(() => {}) }",
        "function_error",
    ),
    "badsyntax": ("module.exports = (", "function_error"),
    "noentry": ("exports.other = 1", "function_error"),
    "missing": ("require('./nowhere')", "function_error"),
    "loadloop": ("for (;;) {}", "timeout"),
    "oom": (
        "module.exports = () => { const a = []; for (;;) a.push(new Array(1e6).fill(1.5)) }",
        "out_of_memory",
    ),
}
CODES = {"timeout": "RequestTimeout", "sandbox_lost": "FunctionServerError"}
# Nobody can say whose SIGKILL it was.
OURS = {"sandbox_lost"}


@pytest.fixture(scope="module", autouse=True)
def functions(management: Management, space: tuple[str, str]) -> None:
    management.deploy(space[0], "innocent", {"index.js": "module.exports = () => 'fine'"})
    for name, (source, _) in HOSTILE.items():
        memory = 256 if name == "huge" else 128
        management.deploy(space[0], name, {"index.js": source}, Timeout=2, Memory=memory)


@pytest.mark.parametrize("name", HOSTILE)
def test_each_end_has_its_outcome_and_the_next_call_works(
    management: Management, space: tuple[str, str], name: str
) -> None:
    answer = management.invoke(space[0], name)
    kind = HOSTILE[name][1]
    assert answer["Outcome"] == kind, answer
    assert answer["Success"] is False
    assert answer["Error"]["Code"] == CODES.get(kind, "FunctionBizError")
    assert answer["Error"]["Blame"] == ("ours" if kind in OURS else "function")
    assert answer["Error"]["Message"]
    record = management.record(space[0], answer["RequestId"], action="ListFunctionLog")
    assert record["FunctionName"] == name
    assert record["Status"] == "FAIL"
    assert record["Levels"][-1] == "ERROR"
    assert management.invoke(space[0], "innocent")["Result"] == '"fine"'


def test_a_log_flood_is_a_success_with_a_cut_log(
    management: Management, space: tuple[str, str]
) -> None:
    source = (
        "module.exports = (ctx) => {"
        " for (let i = 0; i < 200000; i++) ctx.logger.info('line', i, 'x'.repeat(200));"
        " return 'done' }"
    )
    management.deploy(space[0], "flood", {"index.js": source}, Timeout=20)
    answer = management.invoke(space[0], "flood")
    assert answer["Outcome"] == "ok"
    record = management.record(space[0], answer["RequestId"], action="ListFunctionLog")
    assert len(record["Contents"]) <= 1001
    assert sum(len(line) for line in record["Contents"]) <= 300_000


def test_nothing_is_left_behind(
    management: Management, space: tuple[str, str], program: Program
) -> None:
    assert program.process is not None
    fds = Path(f"/proc/{program.process.pid}/fd")

    def calls() -> int:
        for name in ("exit3", "throwstext", "cycle", "abort"):
            management.invoke(space[0], name)
        management.invoke(space[0], "innocent")
        return len(list(fds.iterdir()))

    first = calls()
    counts = [calls() for _ in range(5)]
    assert min(counts) <= first + 2, (first, counts)


def post(program: Program, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=20)
    try:
        connection.request("POST", "/client", body, headers)
        answer = connection.getresponse()
        assert answer.getheader("request-id")
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def signed(space: tuple[str, str], **changes: Any) -> tuple[bytes, str]:
    return client_body(
        changes.get("space_id", space[0]),
        changes.get("secret", space[1]),
        changes.get("method", "serverless.auth.user.anonymousAuthorize"),
        changes.get("params", {}),
        changes.get("token"),
    )


def test_requests_that_are_refused(program: Program, space: tuple[str, str]) -> None:
    good, signature = signed(space)
    invoke = "serverless.function.runtime.invoke"
    table: list[tuple[str, bytes, str, str]] = [
        ("wrong signature", good, "0" * 32, "SignatureNotMatch"),
        ("no signature", good, "", "SignatureNotMatch"),
        ("changed body", good.replace(b"{}", b"{ }"), signature, "SignatureNotMatch"),
        ("unknown space", *signed(space, space_id="mp-none"), "InvalidSpaceId.NotFound"),
        ("no token", *signed(space, method=invoke), "GATEWAY_INVALID_TOKEN"),
        ("forged token", *signed(space, method=invoke, token="1.a.b.c"), "GATEWAY_INVALID_TOKEN"),
        ("no json", b"{", "", "InvalidBody.Format"),
        ("not utf-8", b'{"spaceId":"\xff"}', "", "InvalidBody.Format"),
        ("deep json", b"[" * 100_000, "", "InvalidBody.Format"),
        ("array", b"[]", "", "InvalidBody.Format"),
        ("empty", b"", "", "InvalidBody.Format"),
        ("no space", b"{}", "", "MissingParams"),
        ("space is a number", b'{"spaceId":5}', "", "InvalidParams.Format"),
        ("too large", b" " * (4 * 1024 * 1024), "", "RequestContentLength.Exceeded"),
        (
            "long space id",
            b'{"spaceId":"' + b"x" * 2_500_000 + b'"}',
            "",
            "InvalidSpaceId.NotFound",
        ),
        ("lone surrogate", b'{"spaceId":"\\ud800"}', "", "InvalidSpaceId.NotFound"),
    ]
    for name, body, given, code in table:
        status, answer = post(program, body, {"x-serverless-sign": given})
        assert status == 200, name
        assert answer["success"] is False, name
        assert answer["error"]["code"] == code, (name, answer)
        assert answer["error"]["message"], name
    bomb = gzip.compress(b" " * (256 * 1024 * 1024), compresslevel=9)
    status, answer = post(program, bomb, {"content-encoding": "gzip"})
    assert (status, answer["error"]["code"]) == (200, "RequestContentLength.Exceeded")
    packed = gzip.compress(good)
    for body, encoding in ((good, "identity"), (packed, "gzip")):
        headers = {"x-serverless-sign": signature, "content-encoding": encoding}
        status, answer = post(program, body, headers)
        assert (status, answer["success"]) == (200, True)


def test_a_slash_at_the_end_of_the_endpoint_works(program: Program, space: tuple[str, str]) -> None:
    body, signature = signed(space)
    connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=20)
    connection.request("POST", "//client", body, {"x-serverless-sign": signature})
    assert json.loads(connection.getresponse().read())["success"] is True
    connection.close()
