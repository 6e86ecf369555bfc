"""`yunhan db export`, over the real actions."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import pytest

from runtime.cli.db_folder import file_name
from tests.unit.cli_database_support import Program
from tests.unit.cli_support import SPACE_ID, FakeManagement, Shell

USERS = [f'{{"_id":"{number:03}","pad":"{"x" * 50}"}}' for number in range(20)]
ODD = "Users/./云"


@pytest.fixture(autouse=True)
def program(fake: FakeManagement) -> Program:
    program = Program(fake, SPACE_ID)
    program.databases.put(SPACE_ID, "users", *USERS)
    program.databases.put(SPACE_ID, ODD, '{"_id":{"$oid":"5f00000000000000000000a1"}}')
    program.databases.collection(SPACE_ID, "empty")
    program.databases.collection(SPACE_ID, "users").indexes["by_pad"] = {
        "v": 2,
        "key": {"pad": 1, "a": -1},
        "name": "by_pad",
        "unique": True,
    }
    return program


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out" / "backup"


def content(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def manifest_of(folder: Path) -> dict[str, object]:
    value = json.loads((folder / "manifest.json").read_bytes())
    assert isinstance(value, dict)
    return value


def test_everything_is_in_the_folder(shell: Shell, folder: Path) -> None:
    shell.run("db", "rules", "set", SPACE_ID, "users", "--policy", "PRIVATE")
    result = shell.run("db", "export", SPACE_ID, str(folder))
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert "3 collections, 21 documents, 1 rules" in result.stderr
    assert sorted(each.name for each in folder.iterdir()) == sorted(
        ["empty.jsonl", "manifest.json", "users.jsonl", file_name(ODD)]
    )
    assert (folder / "users.jsonl").read_bytes() == content(*USERS)
    manifest = manifest_of(folder)
    assert (manifest["format"], manifest["complete"], manifest["space_id"]) == (
        "yunhan-database",
        True,
        SPACE_ID,
    )
    collections = manifest["collections"]
    assert isinstance(collections, list)
    assert [each["name"] for each in collections] == [ODD, "empty", "users"]
    assert collections[2] == {
        "name": "users",
        "file": "users.jsonl",
        "content": {
            "count": 20,
            "size_bytes": len(content(*USERS)),
            "sha256": hashlib.sha256(content(*USERS)).hexdigest(),
        },
        "indexes": [{"name": "by_pad", "key": {"pad": 1, "a": -1}, "unique": True}],
    }
    assert [each["collection"] for each in manifest["policies"]] == ["users"]  # type: ignore[attr-defined]


def test_others_may_not_read_it(shell: Shell, folder: Path) -> None:
    shell.run("db", "export", SPACE_ID, str(folder))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()} == {0o600}


def test_as_json(shell: Shell, folder: Path) -> None:
    result = shell.run("db", "export", SPACE_ID, str(folder), "--collection", "users", "--json")
    assert json.loads(result.stdout) == {
        "folder": str(folder),
        "resumed": False,
        "collections": [
            {
                "collection": "users",
                "file": "users.jsonl",
                "count": 20,
                "bytes": len(content(*USERS)),
                "sha256": hashlib.sha256(content(*USERS)).hexdigest(),
            }
        ],
        "rules": 0,
    }


@pytest.mark.parametrize("calls", range(4, 16))
def test_an_interruption_anywhere_is_made_good(
    shell: Shell, folder: Path, program: Program, calls: int
) -> None:
    program.fail_after = calls
    result = shell.run("db", "export", SPACE_ID, str(folder))
    assert result.exit_code == 1
    assert manifest_of(folder)["complete"] is False
    # as a process that was killed leaves it: half a line
    for part in folder.glob("*.part"):
        part.write_bytes(part.read_bytes() + b'{"_id":"0')
    result = shell.run("db", "export", SPACE_ID, str(folder), "--json")
    assert result.exit_code == 0, result.output
    assert (folder / "users.jsonl").read_bytes() == content(*USERS)
    assert manifest_of(folder)["complete"] is True
    assert not list(folder.glob("*.part"))


def test_what_was_fetched_is_not_fetched_again(
    shell: Shell, folder: Path, program: Program, fake: FakeManagement
) -> None:
    program.fail_after = 6
    shell.run("db", "export", SPACE_ID, str(folder), "--collection", "users")
    fetched = (folder / "users.jsonl.part").read_bytes().count(b"\n")
    assert fetched > 0
    fake.calls.clear()
    result = shell.run("db", "export", SPACE_ID, str(folder), "--collection", "users")
    assert f"users: goes on after {fetched} documents." in result.stderr
    first = fake.asked("YunhanExportDatabase")[0]
    assert first["After"] == json.dumps(f"{fetched - 1:03}")


def test_one_collection_into_a_file(shell: Shell, tmp_path: Path) -> None:
    target = tmp_path / "users.jsonl"
    result = shell.run("db", "export", SPACE_ID, str(target), "--collection", "users")
    assert result.exit_code == 0, result.output
    assert target.read_bytes() == content(*USERS)
    result = shell.run("db", "export", SPACE_ID, str(target), "--collection", "users", "--json")
    assert json.loads(result.stdout)["error"]["code"] == "TargetExists"
    assert shell.run("db", "export", SPACE_ID, str(tmp_path / "b.jsonl")).exit_code == 2


def test_nothing_is_written_over(shell: Shell, folder: Path) -> None:
    assert shell.run("db", "export", SPACE_ID, str(folder)).exit_code == 0
    result = shell.run("db", "export", SPACE_ID, str(folder), "--json")
    assert json.loads(result.stdout)["error"]["code"] == "TargetExists"
    other = folder.parent / "mine"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    result = shell.run("db", "export", SPACE_ID, str(other), "--json")
    assert json.loads(result.stdout)["error"]["code"] == "TargetExists"
    assert [each.name for each in other.iterdir()] == ["letter.txt"]


def test_the_beginning_of_another_export_stays(
    shell: Shell, folder: Path, program: Program
) -> None:
    program.fail_after = 4
    shell.run("db", "export", SPACE_ID, str(folder))
    result = shell.run("db", "export", SPACE_ID, str(folder), "--collection", "users", "--json")
    assert json.loads(result.stdout)["error"]["code"] == "TargetExists"


def test_a_page_that_was_damaged_is_not_written(
    shell: Shell, folder: Path, fake: FakeManagement
) -> None:
    fake.answers["YunhanExportDatabase"] = {
        "Lines": '{"_id":1}\n',
        "Count": 1,
        "Sha256": "0" * 64,
        "After": "",
    }
    result = shell.run("db", "export", SPACE_ID, str(folder), "--json")
    assert json.loads(result.stdout)["error"]["code"] == "PageDamaged"
    assert not list(folder.glob("*.jsonl"))


def test_writes_meanwhile_are_told(shell: Shell, folder: Path, fake: FakeManagement) -> None:
    answer = fake.answers["RunDBCommand"]
    assert callable(answer)

    def run(form: dict[str, str]) -> object:
        if json.loads(form["Body"])["command"] == "count":
            return {"AffectedDocs": 21, "Result": "21"}
        return answer(form)

    fake.answers["RunDBCommand"] = run  # type: ignore[assignment]
    result = shell.run("db", "export", SPACE_ID, str(folder), "--collection", "users")
    assert result.exit_code == 0
    assert "the collection has 21, so it was written to meanwhile" in result.stderr


def test_a_collection_that_is_not_there(shell: Shell, folder: Path) -> None:
    result = shell.run("db", "export", SPACE_ID, str(folder), "--collection", "none", "--json")
    assert json.loads(result.stdout)["error"]["code"] == "CollectionNotFound"


def test_file_names_lead_nowhere_and_differ() -> None:
    names = ["users", "Users", "USERS", ODD, "..", "a/b", "a_b", "云", "函", "x" * 120]
    files = [file_name(name) for name in names]
    assert len({each.lower() for each in files}) == len(names)
    for file in files:
        assert Path(file).name == file
        assert file.isascii()
        assert len(file) < 100
