"""Files through the unmodified server SDK, and the guide's upload from a server."""

from __future__ import annotations

import hashlib
import shutil
from typing import Any

import pytest

from tests.e2e.conftest import RunSdk
from tests.e2e.files.conftest import MakeFile
from tests.harness.lacking import lacks
from tests.harness.management import Management
from tests.harness.program import Program

pytestmark = pytest.mark.e2e


def test_upload_info_download_delete(
    run_sdk: RunSdk, space: tuple[str, str], management: Management, make_file: MakeFile
) -> None:
    document = make_file("report.bin", 2_000_000)
    secret = management.server_secret(space[0])
    given = {
        "text": "云函数",
        "fileName": "a.txt",
        "meta": {"k": "v"},
        "headers": {"contentType": "text/plain", "cacheControl": "no-cache"},
    }
    steps: list[list[Any]] = [
        ["upload", given],
        ["upload", {"filePath": str(document.path), "fileName": "report.bin", "cloudPath": "/r/1"}],
        ["uploadOptions", {"filePath": str(document.path)}],
    ]
    run = {"spaceId": space[0], "serverSecret": secret}
    text, binary, options = (
        each.get("value", each) for each in run_sdk("server.cjs", **run, steps=steps)
    )
    assert binary["filePath"] == f"{space[0]}/r/1"
    assert set(options) >= {"id", "key", "host", "policy", "Signature", "OSSAccessKeyId"}
    fetched, other, info, removed, again = (
        each.get("value", each)
        for each in run_sdk(
            "server.cjs",
            **run,
            steps=[
                ["fetch", text["fileUrl"]],
                ["fetch", binary["fileUrl"], {"range": "bytes=1999990-"}],
                ["info", [text["fileId"], binary["fileUrl"]]],
                ["remove", {"fileUrl": text["fileUrl"]}],
                ["info", text["fileId"]],
            ],
        )
    )
    assert fetched["sha256"] == hashlib.sha256("云函数".encode()).hexdigest()
    assert fetched["headers"]["content-type"].startswith("text/plain")
    assert fetched["headers"]["cache-control"] == "no-cache"
    assert fetched["headers"]["x-meta-k"] == "v"
    assert (other["status"], other["size"]) == (206, 10)
    assert [each["size"] for each in info["result"]] == [9, document.size]
    assert removed["success"] is True
    assert again["result"] == []


@pytest.mark.parametrize("filename", ["index.html", "文件 夹/云函数.html"])
def test_the_guides_upload_from_a_server(
    run_sdk: RunSdk,
    space: tuple[str, str],
    program: Program,
    make_file: MakeFile,
    filename: str,
) -> None:
    if shutil.which("curl") is None:
        lacks("curl is not installed")
    page = make_file("index.html", 240)
    key = program.access_key()
    [result] = run_sdk(
        "guide_upload.cjs",
        accessKeyId=key.key_id,
        accessKeySecret=key.secret,
        spaceId=space[0],
        filename=filename,
        contentType="text/html",
        local=str(page.path),
        steps=[[]],
    )
    value = result["value"]
    assert value["curl"].endswith("200")
    [row] = value["found"]["DataList"]
    assert (row["Id"], row["Size"]) == (value["id"], 240)
    [fetched] = run_sdk(
        "server.cjs", spaceId=space[0], serverSecret=None, steps=[["fetch", row["Url"]]]
    )
    assert fetched["value"]["sha256"] == page.sha256
