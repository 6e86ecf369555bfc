"""`yunhan db import`, over the real actions: what was exported from one space goes into another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from runtime.cli import db_import
from tests.unit.cli_database_support import Program
from tests.unit.cli_support import OTHER_SPACE_ID, SPACE_ID, FakeManagement, Shell

USERS = [f'{{"_id":"{number:03}","pad":"{"x" * 50}"}}' for number in range(20)]
INDEX = {"v": 2, "key": {"pad": 1}, "name": "by_pad", "unique": True}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db_import, "BATCH_LINES", 4)


@pytest.fixture(autouse=True)
def program(fake: FakeManagement) -> Program:
    program = Program(fake, SPACE_ID, OTHER_SPACE_ID)
    program.databases.put(SPACE_ID, "users", *USERS)
    program.databases.put(SPACE_ID, "posts", '{"_id":{"$numberInt":"1"},"_yunhan_owner":"u1"}')
    program.databases.collection(SPACE_ID, "empty")
    program.databases.collection(SPACE_ID, "users").indexes["by_pad"] = dict(INDEX)
    return program


@pytest.fixture
def folder(shell: Shell, tmp_path: Path, program: Program) -> Path:
    folder = tmp_path / "backup"
    for collection, policy in (("users", "PRIVATE"), ("*", "ADMINWRITEONLY")):
        shell.run("db", "rules", "set", SPACE_ID, collection, "--policy", policy)
    result = shell.run("db", "export", SPACE_ID, str(folder))
    assert result.exit_code == 0, result.output
    return folder


def load(shell: Shell, source: Path, *words: str) -> Result:
    return shell.run("db", "import", OTHER_SPACE_ID, str(source), *words)


def code_of(result: Result) -> str:
    assert result.exit_code == 1, result.output
    return str(json.loads(result.stdout)["error"]["code"])


def lines_of(program: Program, collection: str, space_id: str = OTHER_SPACE_ID) -> list[bytes]:
    return list(program.databases.spaces[space_id][collection].lines.values())


def rules_of(shell: Shell, space_id: str) -> Any:
    return json.loads(shell.run("db", "rules", "show", space_id, "--json").stdout)["rules"]


def test_all_comes_over(shell: Shell, folder: Path, program: Program) -> None:
    result = load(shell, folder, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert [(each["collection"], each["count"]) for each in told["collections"]] == [
        ("empty", 0),
        ("posts", 1),
        ("users", 20),
    ]
    assert {each["comparedBy"] for each in told["collections"]} == {"checksum"}
    assert told["rules"] == 2
    assert program.databases.spaces[OTHER_SPACE_ID] == program.databases.spaces[SPACE_ID]
    assert rules_of(shell, OTHER_SPACE_ID) == rules_of(shell, SPACE_ID)
    assert sorted(each.name for each in folder.parent.iterdir()) == ["backup", "data"]


@pytest.mark.parametrize("calls", range(0, 26, 2))
def test_an_interruption_anywhere_is_made_good(
    shell: Shell, folder: Path, program: Program, calls: int
) -> None:
    program.fail_after = calls
    assert load(shell, folder).exit_code == 1
    result = load(shell, folder)
    assert result.exit_code == 0, result.output
    assert program.databases.spaces[OTHER_SPACE_ID] == program.databases.spaces[SPACE_ID]
    assert rules_of(shell, OTHER_SPACE_ID) == rules_of(shell, SPACE_ID)


def test_what_was_loaded_is_not_loaded_again(
    shell: Shell, folder: Path, program: Program, fake: FakeManagement
) -> None:
    words = ("--collection", "users", "--rules", "none")
    program.fail_after = 7
    assert load(shell, folder, *words).exit_code == 1
    loaded = len(lines_of(program, "users"))
    assert 0 < loaded < 20
    fake.calls.clear()
    result = load(shell, folder, *words)
    assert f"users: goes on after {loaded} documents." in result.stderr
    # each batch of four is refused by the program, whose pages have three documents: two halves
    assert len(fake.asked("YunhanImportDatabase")) == (20 - loaded) // 4 * 3
    assert lines_of(program, "users") == lines_of(program, "users", SPACE_ID)


def test_what_is_there_is_not_written_over_by_accident(
    shell: Shell, folder: Path, program: Program
) -> None:
    program.databases.put(OTHER_SPACE_ID, "users", '{"_id":"mine"}', '{"_id":"000"}')
    assert code_of(load(shell, folder, "--json")) == "CollectionNotEmpty"
    assert list(program.databases.spaces[OTHER_SPACE_ID]) == ["users"]
    assert rules_of(shell, OTHER_SPACE_ID) == []

    result = load(shell, folder, "--merge", "--json")
    assert result.exit_code == 0, result.output
    assert {each["comparedBy"] for each in json.loads(result.stdout)["collections"]} == {"content"}
    merged = program.databases.spaces[OTHER_SPACE_ID]["users"].lines
    assert merged == {
        **program.databases.spaces[SPACE_ID]["users"].lines,
        '"mine"': b'{"_id":"mine"}\n',
    }

    assert load(shell, folder, "--drop").exit_code == 0
    assert program.databases.spaces[OTHER_SPACE_ID] == program.databases.spaces[SPACE_ID]


@pytest.mark.parametrize("words", [(), ("--merge",)])
def test_a_document_that_got_lost_is_found_out(
    shell: Shell, folder: Path, program: Program, words: tuple[str, ...]
) -> None:
    program.databases.lost = {'"007"'}
    assert code_of(load(shell, folder, *words, "--json")) == "ImportDiffers"
    program.databases.lost = set()
    assert load(shell, folder, *(words or ("--drop",)), "--again").exit_code == 0


def test_a_document_that_was_changed_is_found_out(
    shell: Shell, folder: Path, program: Program, fake: FakeManagement
) -> None:
    answer = fake.answers["YunhanExportDatabase"]
    assert callable(answer)

    def change(form: dict[str, str]) -> Any:
        program.databases.put(OTHER_SPACE_ID, "users", '{"_id":"007"}')
        return answer(form)

    fake.answers["YunhanExportDatabase"] = change
    assert code_of(load(shell, folder, "--collection", "users", "--json")) == "ImportDiffers"


def test_present_rules_stay_unless_they_are_replaced(shell: Shell, folder: Path) -> None:
    shell.run("db", "rules", "set", OTHER_SPACE_ID, "*", "--policy", "PUBLICREAD")
    result = load(shell, folder)
    assert "The rule of * here differs from the export's and stays" in result.stderr
    assert {each["collection"]: each["policy"] for each in rules_of(shell, OTHER_SPACE_ID)} == {
        "*": "PUBLICREAD",
        "users": "PRIVATE",
    }
    assert load(shell, folder, "--drop", "--rules", "replace").exit_code == 0
    assert {each["policy"] for each in rules_of(shell, OTHER_SPACE_ID)} == {
        "ADMINWRITEONLY",
        "PRIVATE",
    }


def test_a_changed_file_is_refused_before_anything_is_sent(
    shell: Shell, folder: Path, program: Program
) -> None:
    file = folder / "users.jsonl"
    file.write_bytes(file.read_bytes().replace(b"xxx", b"yyy", 1))
    assert code_of(load(shell, folder, "--json")) == "FileDamaged"
    assert not program.databases.spaces.get(OTHER_SPACE_ID)
    file.unlink()
    assert load(shell, folder).exit_code == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"complete": False}, "ExportIncomplete"),
        ({"version": 2}, "BadManifest"),
        ({"format": "other"}, "BadManifest"),
        ({"collections": [{"name": "a", "file": "../a.jsonl"}]}, "BadManifest"),
        ({"collections": 1}, "BadManifest"),
        ({"policies": [{"a": 1}]}, "BadManifest"),
    ],
    ids=str,
)
def test_a_manifest_that_is_none(
    shell: Shell, folder: Path, change: dict[str, Any], code: str
) -> None:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **change}))
    assert code_of(load(shell, folder, "--json")) == code


def test_sources_that_are_none(shell: Shell, tmp_path: Path) -> None:
    assert code_of(load(shell, tmp_path / "none", "--json")) == "SourceNotFound"
    (tmp_path / "empty").mkdir()
    assert code_of(load(shell, tmp_path / "empty", "--json")) == "NoManifest"
    (tmp_path / "a.json").write_text("{}")
    assert load(shell, tmp_path / "a.json").exit_code == 2
    assert load(shell, tmp_path / "a.json", "--merge", "--drop").exit_code == 2
    assert load(shell, tmp_path / "empty", "--plain").exit_code == 2


def test_a_file_of_another_program(shell: Shell, tmp_path: Path, program: Program) -> None:
    source = tmp_path / "vendor.json"
    source.write_bytes(
        b'\xef\xbb\xbf{"_id": "5f00000000000000000000a1", "at": "1970-01-01T00:00:00.000Z"}\r\n'
        b'\n{"name": "twice"}\n{"name": "twice"}'
    )
    words = ("--collection", "users", "--plain")
    result = load(shell, source, *words, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["collections"][0]["comparedBy"] == "count"
    first, *twins = lines_of(program, "users")
    assert json.loads(first) == {
        "_id": {"$oid": "5f00000000000000000000a1"},
        "at": {"$date": {"$numberLong": "0"}},
    }
    assert len(twins) == 2
    # the made ids follow from the file: the same again replaces
    assert load(shell, source, *words, "--merge").exit_code == 0
    assert len(lines_of(program, "users")) == 3


def test_a_bad_line_is_named(shell: Shell, tmp_path: Path) -> None:
    source = tmp_path / "vendor.json"
    source.write_text('{"_id": 1}\n' * 5 + "oops\n")
    result = load(shell, source, "--collection", "users")
    assert result.exit_code == 1
    assert f"line 6 of {source} is no JSON" in result.stderr


def test_what_the_database_refuses_is_told_with_its_lines(shell: Shell, tmp_path: Path) -> None:
    source = tmp_path / "vendor.json"
    source.write_text("".join(f'{{"_id": {n}}}\n' for n in range(5)) + '{"_id": 9, "twin": true}')
    result = load(shell, source, "--collection", "users")
    assert "lines 5 to 6 of vendor.json: DuplicateKey: E11000" in result.stderr
    assert code_of(load(shell, source, "--collection", "users", "--json")) == "11000"


def test_ids_that_come_twice_are_told(shell: Shell, tmp_path: Path) -> None:
    source = tmp_path / "vendor.json"
    source.write_text('{"_id": 1}\n{"_id": 1}\n')
    assert code_of(load(shell, source, "--collection", "users", "--json")) == "ImportDiffers"


def test_of_another_source_nothing_is_known(shell: Shell, tmp_path: Path, program: Program) -> None:
    source = tmp_path / "vendor.json"
    source.write_text("".join(f'{{"_id": {n}}}\n' for n in range(10)))
    program.fail_after = 5
    assert load(shell, source, "--collection", "users").exit_code == 1
    source.write_text("".join(f'{{"_id": {n}}}\n' for n in range(5, 15)))
    assert code_of(load(shell, source, "--collection", "users", "--json")) == "CollectionNotEmpty"
