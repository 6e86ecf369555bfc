"""`ctx.mpserverless.file` and `.user` inside functions."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import unquote

import pytest

from tests.e2e.conftest import RunSdk
from tests.harness.management import Management
from tests.harness.program import Program

pytestmark = pytest.mark.e2e

SOURCE = """
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const written = (name, size) => {
  const file = path.join(os.tmpdir(), name);
  const handle = fs.openSync(file, 'w');
  for (let left = size; left > 0; left -= 1e6) fs.writeSync(handle, Buffer.alloc(Math.min(left, 1e6), 7));
  fs.closeSync(handle);
  return file;
};

module.exports = async (ctx) => {
  const { file, user } = ctx.mpserverless;
  const { act, ...args } = ctx.args;
  switch (act) {
    case 'buffer':
      return file.uploadFile({ fileBuffer: Buffer.from(args.text), fileName: 'note.txt', ...args.options });
    case 'path': {
      const filePath = written('big.bin', args.size);
      const uploaded = await file.uploadFile({ filePath, fileName: 'big.bin' });
      return { ...uploaded, rssMb: process.memoryUsage().rss / 1e6 };
    }
    case 'info':
      return file.info(args.ids, args.options);
    case 'remove':
      return file.deleteFile(args.file);
    case 'who':
      return user.getInfo();
    default:
      throw new Error(act);
  }
};
"""
MAIN = "exports.main = async (event, context) => ({ event, has: Object.keys(event) });"
ANONYMOUS = ["authorize", {"authType": "anonymous"}]


@pytest.fixture(scope="module", autouse=True)
def functions(management: Management, space: tuple[str, str]) -> None:
    management.deploy(space[0], "files", {"index.js": SOURCE}, Timeout=60, Memory=256)
    management.deploy(space[0], "main", {"index.js": MAIN})


def call(run_sdk: RunSdk, space: tuple[str, str], **args: Any) -> Any:
    [_, result] = run_sdk(
        "run.cjs",
        host="alipay",
        spaceId=space[0],
        clientSecret=space[1],
        steps=[ANONYMOUS, ["invoke", "files", args]],
    )
    assert "value" in result, result
    return result["value"]["result"]


def fetch(run_sdk: RunSdk, space: tuple[str, str], url: str) -> Any:
    [result] = run_sdk("server.cjs", spaceId=space[0], serverSecret=None, steps=[["fetch", url]])
    return result["value"]


def test_a_buffer_comes_back_byte_for_byte(
    run_sdk: RunSdk, space: tuple[str, str], program: Program
) -> None:
    options = {"cloudPath": "/from/函数.txt", "meta": {"userId": "halo"}}
    uploaded = call(run_sdk, space, act="buffer", text="云函数 ☁", options=options)
    place = f"https://localhost:{program.tls_port}/oss/{space[0]}"
    assert uploaded["fileUrl"] == f"{place}/from/函数.txt"
    fetched = fetch(run_sdk, space, uploaded["fileUrl"])
    assert fetched["sha256"] == hashlib.sha256("云函数 ☁".encode()).hexdigest()
    assert fetched["headers"]["x-meta-user-id"] == "halo"
    info = call(run_sdk, space, act="info", ids=[uploaded["fileId"]])
    assert [unquote(each["url"]) for each in info["result"]] == [uploaded["fileUrl"]]
    removed = call(run_sdk, space, act="remove", file={"fileUrl": uploaded["fileUrl"]})
    assert removed["success"] is True
    assert fetch(run_sdk, space, uploaded["fileUrl"])["status"] == 404


def test_a_large_file_of_a_path_is_streamed(run_sdk: RunSdk, space: tuple[str, str]) -> None:
    uploaded = call(run_sdk, space, act="path", size=30_000_000)
    fetched = fetch(run_sdk, space, uploaded["fileUrl"])
    assert fetched["sha256"] == hashlib.sha256(b"\x07" * 30_000_000).hexdigest()
    assert uploaded["rssMb"] < 150
    call(run_sdk, space, act="remove", file=uploaded["fileUrl"])


def test_a_function_knows_its_caller(run_sdk: RunSdk, space: tuple[str, str]) -> None:
    [_, outside, inside] = run_sdk(
        "run.cjs",
        host="wechat",
        spaceId=space[0],
        clientSecret=space[1],
        steps=[ANONYMOUS, ["getInfo"], ["invoke", "files", {"act": "who"}]],
    )
    mine, seen = outside["value"]["result"], inside["value"]["result"]
    assert mine["user"]["userId"] == mine["userId"] == seen["user"]["userId"] == seen["userId"]
    assert mine["user"]["createdAt"] <= mine["user"]["lastSeenAt"]
    assert "oAuthUserId" not in mine["user"]


def test_without_a_platform_an_event_has_no_user(run_sdk: RunSdk, space: tuple[str, str]) -> None:
    [_, result] = run_sdk(
        "run.cjs",
        host="wechat",
        spaceId=space[0],
        clientSecret=space[1],
        steps=[ANONYMOUS, ["invoke", "main", {"a": 1}]],
    )
    assert result["value"]["result"] == {"event": {"a": 1}, "has": ["a"]}
