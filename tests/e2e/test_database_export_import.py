"""A space's data goes out of a running program and into another space, cut off and again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import RunSdk
from tests.harness.management import Management
from tests.harness.polling import poll
from tests.harness.program import Program

pytestmark = pytest.mark.e2e

PLAIN = [
    {
        "_id": f"{number:024x}",
        "name": f"用户 {number}",
        "born": f"2026-01-01T00:00:00.{number % 1000:03}Z",
        "score": number / 7,
        "nested": [{"big": 2**53 + number, "none": None}],
    }
    for number in range(1500)
]


@pytest.fixture
def spaces(management: Management) -> tuple[str, str]:
    return management.space("origin")[0], management.space("copy")[0]


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "vendor.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in PLAIN))
    return path


def run(program: Program, *words: str) -> str:
    done = program.cli("db", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def command(management: Management, space_id: str, **members: Any) -> Any:
    answer = management.call("RunDBCommand", SpaceId=space_id, Body=json.dumps(members))
    return json.loads(answer["Result"])


def test_all_of_a_space_arrives_in_another(
    program: Program,
    management: Management,
    spaces: tuple[str, str],
    plain: Path,
    tmp_path: Path,
) -> None:
    origin, copy = spaces
    run(program, "import", origin, str(plain), "--collection", "users", "--plain")
    odd = [{"_id": 5}, {"_id": "a"}, {"_id": {"k": 1}}, {"_id": True}, {"_id": None}]
    command(management, origin, command="insertMany", collection="云/odd", docs=odd)
    command(management, origin, command="createCollection", name="empty")
    index = {"name": "by_score", "unique": True}
    keys = {"score": -1, "name": 1}
    command(
        management, origin, command="createIndex", collection="users", field=keys, options=index
    )
    run(program, "rules", "set", origin, "users", "--policy", "PRIVATE")

    run(program, "export", origin, str(tmp_path / "first"))
    told = json.loads(run(program, "import", copy, str(tmp_path / "first"), "--json"))
    assert {each["collection"]: each["count"] for each in told["collections"]} == {
        "empty": 0,
        "users": 1500,
        "云/odd": 5,
    }
    run(program, "export", copy, str(tmp_path / "second"))
    assert contents(tmp_path / "first") == contents(tmp_path / "second")

    users = {"command": "findOne", "collection": "users", "query": {"_id": PLAIN[700]["_id"]}}
    assert command(management, copy, **users) == PLAIN[700]
    indexes = command(management, copy, command="listIndexes", collection="users")
    assert [each["key"] for each in indexes if each["name"] == "by_score"] == [keys]
    assert run(program, "rules", "show", copy) == run(program, "rules", "show", origin)


def contents(folder: Path) -> dict[str, Any]:
    files: dict[str, Any] = {path.name: path.read_bytes() for path in folder.iterdir()}
    manifest = json.loads(files["manifest.json"])
    return {**files, "manifest.json": {**manifest, "space_id": ""}}


def test_a_killed_import_goes_on(
    program: Program, spaces: tuple[str, str], plain: Path, tmp_path: Path
) -> None:
    origin, copy = spaces
    run(program, "import", origin, str(plain), "--collection", "users", "--plain")
    folder = tmp_path / "out"
    run(program, "export", origin, str(folder))
    words = (sys.executable, "-m", "runtime.cli.main", "db", "import", copy, str(folder))
    state = tmp_path / f".out.import-{copy}.json"

    def begun() -> bool:
        return state.exists() and json.loads(state.read_text())["collections"]["users"]["lines"] > 0

    with subprocess.Popen(words, env=program.environ, stderr=subprocess.DEVNULL) as process:
        poll(lambda: begun() or process.poll() is not None)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "it was over before it was killed"
    done = program.cli("db", "import", copy, str(folder))
    assert done.returncode == 0, done.stderr
    assert "users: goes on after" in done.stderr
    assert "1,500 documents, 0 indexes, compared by checksum" in done.stderr
    assert not state.exists()


def test_pop_core_administers_a_database(run_sdk: RunSdk, program: Program) -> None:
    key = program.access_key()
    space = {"SpaceId": "$0.SpaceId"}
    rules = {**space, "ServiceName": "db"}
    drop = {"command": "drop", "collection": "posts"}
    steps = [
        ["CreateSpace", {"Name": "popdata"}],
        ["RunDBCommand", {**space, "Body": '{"command":"createCollection","name":"notes"}'}],
        ["RenameDBCollection", {**space, "OriginCollection": "notes", "NewCollection": "posts"}],
        ["RunDBCommand", {**space, "Body": '{"command":"collections"}'}],
        ["UpdateServicePolicy", {**rules, "CollectionName": "posts", "PolicyName": "PRIVATE"}],
        ["DescribeServicePolicy", {**rules, "CollectionName": "posts"}, "GET"],
        ["DeleteDBCollection", {**space, "Body": json.dumps(drop)}],
        ["RunDBCommand", {**space, "Body": '{"command":"collections"}'}],
        ["RunDBCommand", {**space, "Body": '{"command":"find","collection":"a$b"}'}],
        ["DeleteSpace", space],
        ["RunDBCommand", {**space, "Body": '{"command":"collections"}'}],
    ]
    results = run_sdk(
        "pop_core.cjs", accessKeyId=key.key_id, accessKeySecret=key.secret, steps=steps
    )
    values: list[Any] = [result.get("value") for result in results]
    assert values[3]["Result"] == '["posts"]'
    assert values[5]["PolicyName"] == "PRIVATE"
    assert values[7]["Result"] == "[]"
    assert results[8]["error"]["code"] == "73"
    assert results[10]["error"]["code"] == "InvalidSpaceId.NotFound"
