"""Files through the unmodified client SDK, on each mini program host."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import RunSdk
from tests.e2e.files.conftest import MakeFile
from tests.harness.program import Program

pytestmark = pytest.mark.e2e

ANONYMOUS = ["authorize", {"authType": "anonymous"}]
Results = list[dict[str, Any]]


def value_of(result: dict[str, Any]) -> Any:
    assert "value" in result, result
    return result["value"]


@pytest.mark.parametrize("host", ["alipay", "wechat", "dingtalk"])
def test_upload_info_download_delete(
    run_sdk: RunSdk, space: tuple[str, str], program: Program, make_file: MakeFile, host: str
) -> None:
    photo = make_file("photo.png", 300_000)
    options = {
        "filePath": str(photo.path),
        "headers": {"contentDisposition": "attachment", "expires": "3600"},
        "meta": {"userId": "halo"},
    }
    results: Results = run_sdk(
        "run.cjs",
        host=host,
        spaceId=space[0],
        clientSecret=space[1],
        steps=[
            ANONYMOUS,
            ["upload", options],
            ["fetch", 1],
            ["info", [1, "https://localhost/oss/nowhere.png"], {"maxAge": 60}],
            ["remove", 1],
            ["fetch", 1],
            ["info", [1]],
        ],
    )
    uploaded, fetched, info, removed, gone, nothing = (value_of(each) for each in results[1:])
    place = f"localhost:{program.tls_port}/oss/"
    assert uploaded["fileUrl"] == f"https://{place}{uploaded['filePath']}"
    assert uploaded["filePath"].startswith(f"{space[0]}/")
    assert uploaded["filePath"].endswith(".png")
    assert (fetched["status"], fetched["sha256"]) == (200, photo.sha256)
    assert fetched["headers"]["content-disposition"] == "attachment"
    assert fetched["headers"]["cache-control"] == "max-age=2592000"
    assert fetched["headers"]["x-meta-user-id"] == "halo"
    assert fetched["headers"]["content-length"] == str(photo.size)
    assert [(each["id"], each["url"], each["size"]) for each in info] == [
        (uploaded["fileId"], uploaded["fileUrl"], photo.size)
    ]
    assert removed["success"] is True
    assert gone["status"] == 404
    assert nothing == []


def test_a_path_of_ones_own_is_overwritten_by_its_owner_only(
    run_sdk: RunSdk, space: tuple[str, str], make_file: MakeFile
) -> None:
    first, second = make_file("第一.txt", 10), make_file("b.txt", 20)
    wanted = "/照片/云 函数%2F?&#.txt"

    def upload(file: object) -> list[Any]:
        return ["upload", {"filePath": str(file), "cloudPath": wanted}]

    mine = run_sdk(
        "run.cjs",
        host="wechat",
        spaceId=space[0],
        clientSecret=space[1],
        steps=[ANONYMOUS, upload(first.path), upload(second.path), ["fetch", 1], ["info", [1]]],
    )
    assert mine[1]["value"]["fileId"] == mine[2]["value"]["fileId"]
    assert mine[1]["value"]["filePath"] == f"{space[0]}/照片/云%20函数%252F%3F&%23.txt"
    assert mine[3]["value"]["sha256"] == second.sha256
    assert [each["size"] for each in mine[4]["value"]] == [20]
    others = run_sdk(
        "run.cjs",
        host="alipay",
        spaceId=space[0],
        clientSecret=space[1],
        steps=[ANONYMOUS, upload(first.path), ["remove", mine[1]["value"]["fileUrl"]]],
    )
    assert "error" in others[1]
    assert "error" in others[2]


def test_a_hundred_megabytes(
    run_sdk: RunSdk, space: tuple[str, str], program: Program, make_file: MakeFile
) -> None:
    film = make_file("film.mp4", 100_000_000)
    before = program.peak_rss_mb()
    results = run_sdk(
        "run.cjs",
        host="alipay",
        spaceId=space[0],
        clientSecret=space[1],
        steps=[ANONYMOUS, ["upload", {"filePath": str(film.path)}], ["fetch", 1], ["remove", 1]],
    )
    assert results[1].get("value"), results[1]
    assert (results[2]["value"]["size"], results[2]["value"]["sha256"]) == (film.size, film.sha256)
    after = program.peak_rss_mb()
    print(f"peak of the program that serves: {before:.0f} MB before, {after:.0f} MB after")
    assert after - before < 48


def test_too_large_is_refused_before_a_byte_is_sent(
    run_sdk: RunSdk, space: tuple[str, str], make_file: MakeFile
) -> None:
    film = make_file("film.mp4", 105 * 1024 * 1024)
    refused = run_sdk(
        "run.cjs",
        host="dingtalk",
        spaceId=space[0],
        clientSecret=space[1],
        steps=[ANONYMOUS, ["upload", {"filePath": str(film.path)}]],
    )[1]
    assert refused["error"]["code"] == "RequestContentLength.Exceeded"
