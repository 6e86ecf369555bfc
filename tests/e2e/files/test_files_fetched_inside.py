"""`ctx.httpclient.request(fileUrl)`: functions fetch files by the addresses that apps have."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tests.e2e.conftest import RunSdk
from tests.e2e.files.conftest import MakeFile
from tests.harness.management import Management

pytestmark = pytest.mark.e2e

SOURCE = """
const { createHash } = require('node:crypto');

const fetched = async ({ httpclient }, url) => {
  const { status, data, headers } = await httpclient.request(url, { timeout: 30000 });
  const sha256 = createHash('sha256').update(data).digest('hex');
  return { status, size: data.length, sha256, type: headers['content-type'] };
};

module.exports = async (ctx) => {
  const { act, url, text, cloudPath } = ctx.args;
  const { file } = ctx.mpserverless;
  switch (act) {
    case 'fetch':
      return fetched(ctx, url);
    case 'fetch by info': {
      const { result } = await file.info([url]);
      return fetched(ctx, result[0].url);
    }
    case 'upload and fetch': {
      const fileBuffer = Buffer.from(text);
      const { fileUrl } = await file.uploadFile({ fileBuffer, fileName: 'note.txt', cloudPath });
      return { fileUrl, ...(await fetched(ctx, fileUrl)) };
    }
    default:
      throw new Error(act);
  }
};
"""
ANONYMOUS = ["authorize", {"authType": "anonymous"}]


@pytest.fixture(scope="module")
def space(management: Management) -> tuple[str, str]:
    """Its files are public."""
    return with_function(management, "fetching")


def with_function(management: Management, name: str) -> tuple[str, str]:
    made = management.space(name)
    management.deploy(made[0], "images", {"index.js": SOURCE}, Timeout=60)
    return made


def steps_of(run_sdk: RunSdk, space: tuple[str, str], *steps: list[Any]) -> list[Any]:
    results = run_sdk(
        "run.cjs",
        host="wechat",
        spaceId=space[0],
        clientSecret=space[1],
        steps=[ANONYMOUS, *steps],
    )
    assert all("value" in each for each in results), results
    return [each["value"] for each in results[1:]]


def images(act: str, **args: object) -> list[Any]:
    return ["invoke", "images", {"act": act, **args}]


@pytest.mark.parametrize("path", ["/a/note.txt", "/照片/云 函数%2F?&#,.txt"])
def test_a_function_fetches_what_it_uploaded(
    run_sdk: RunSdk, space: tuple[str, str], path: str
) -> None:
    text = "云函数 ☁"
    step = images("upload and fetch", text=text, cloudPath=path)
    [answer] = steps_of(run_sdk, space, step)
    seen = answer["result"]
    assert seen["fileUrl"].startswith("https://localhost:")
    assert (seen["status"], seen["sha256"]) == (200, hashlib.sha256(text.encode()).hexdigest())


def test_a_function_fetches_what_an_app_uploaded(
    run_sdk: RunSdk, space: tuple[str, str], make_file: MakeFile
) -> None:
    photo = make_file("photo.png", 3_000_000)
    options = {"filePath": str(photo.path), "headers": {"contentType": "image/png"}}
    [uploaded] = steps_of(run_sdk, space, ["upload", options])
    [answer, nothing] = steps_of(
        run_sdk,
        space,
        images("fetch", url=uploaded["fileUrl"]),
        images("fetch", url=f"{uploaded['fileUrl']}x"),
    )
    assert answer["result"] == {
        "status": 200,
        "size": photo.size,
        "sha256": photo.sha256,
        "type": "image/png",
    }
    assert nothing["result"]["status"] == 404


def test_a_private_file_is_fetched_by_the_address_of_info(
    run_sdk: RunSdk, management: Management
) -> None:
    space = with_function(management, "fetchprivate")
    policy = json.dumps({"file": {"*": {".read": "request.auth.userId != null"}}})
    management.call("UpdateServicePolicy", SpaceId=space[0], ServiceName="file", Policy=policy)
    [uploaded] = steps_of(
        run_sdk, space, images("upload and fetch", text="secret", cloudPath="/s.txt")
    )
    assert uploaded["result"]["status"] == 403
    [fetched] = steps_of(run_sdk, space, images("fetch by info", url=uploaded["result"]["fileUrl"]))
    assert fetched["result"]["status"] == 200
    assert fetched["result"]["sha256"] == hashlib.sha256(b"secret").hexdigest()
