"""`yunhan files`, beside a program that keeps files in memory."""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from runtime.cli.files_space import reference
from tests.unit.cli_support import SPACE_ID, FakeManagement, RefusalError, Shell

BYTES = bytes(range(256)) * 3000
PAGE = 2
"""Smaller than what is asked for: the program decides."""


class Program:
    """Answers the actions on files; `stored` has paths, content types and bytes."""

    def __init__(self, fake: FakeManagement) -> None:
        self.address = ""
        self.stored: dict[str, tuple[str, bytes]] = {}
        self.received: dict[str, tuple[str, bytes]] = {}
        self.rules = "{}\n"
        self.cut = 0
        """So many bytes are missing at the end of every download."""
        self.status = 200
        fake.answers |= {
            "DescribeFileUploadSignedUrl": self._sign,
            "RegisterFile": self._register,
            "YunhanDescribeFile": lambda form: self._row(self._find(form["FileId"])),
            "ListFile": self._list,
            "DeleteFile": self._delete,
            "DescribeServicePolicy": lambda form: {"Policy": self._rules(form)},
            "UpdateServicePolicy": self._set_rules,
        }

    def _sign(self, form: dict[str, str]) -> dict[str, Any]:
        path = form["FileId"].removeprefix("/")
        return {"Id": _id(path), "SignUrl": f"{self.address}/oss/{quote(path)}?Signature=s"}

    def _register(self, form: dict[str, str]) -> dict[str, Any]:
        path = next(path for path in self.received if _id(path) == form["Id"])
        self.stored[path] = self.received.pop(path)
        return {}

    def _find(self, name: str) -> str:
        for path in self.stored:
            if name in {f"/{path}", _id(path), f"https://cdn/{path}"}:
                return path
        raise RefusalError("FileNotFound", f"there is no file {name}", 404)

    def _row(self, path: str) -> dict[str, Any]:
        kind, content = self.stored[path]
        return {
            "Id": _id(path),
            "Path": path,
            "Name": path.rpartition("/")[2],
            "Size": len(content),
            "Type": kind,
            "Url": f"https://cdn/{path}",
            "GmtCreate": "2026-11-21T02:11:44.462Z",
            "GmtModified": "2026-11-21T02:11:44.462Z",
            "Md5": hashlib.md5(content).hexdigest(),
            "DownloadSignedUrl": f"{self.address}/oss/{quote(path)}?Signature=g",
        }

    def _list(self, form: dict[str, str]) -> dict[str, Any]:
        after = form.get("NextToken", "")
        paths = sorted(p for p in self.stored if p.startswith(form.get("Prefix", "")) and p > after)
        more = {"NextToken": paths[PAGE - 1]} if len(paths) > PAGE else {}
        return {
            "DataList": [self._row(p) for p in paths[:PAGE]],
            "Paginator": {"PageSize": PAGE, **more},
        }

    def _delete(self, form: dict[str, str]) -> dict[str, Any]:
        del self.stored[self._find(form["Id"])]
        return {}

    def _rules(self, form: dict[str, str]) -> str:
        assert form["ServiceName"] == "file"
        return self.rules

    def _set_rules(self, form: dict[str, str]) -> dict[str, Any]:
        assert (form["ServiceName"], form["PolicyName"]) == ("file", "EXTENDED")
        if form["Policy"] and not form["Policy"].startswith("{"):
            raise RefusalError("InvalidParameter.Policy", "the rules are no JSON")
        self.rules = form["Policy"]
        return {}


def _id(path: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, path))


@pytest.fixture
def program(fake: FakeManagement) -> Iterator[Program]:
    program = Program(fake)

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            path, _, query = self.path.removeprefix("/oss/").partition("?")
            assert query == "Signature=s"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            program.received[unquote(path)] = (self.headers["Content-Type"], body)
            self._answer(
                program.status, b'{"error":{"code":"StorageFull","message":"the disk is full"}}'
            )

        def do_GET(self) -> None:
            path, _, query = self.path.removeprefix("/oss/").partition("?")
            assert query == "Signature=g"
            if program.status != 200:
                self._answer(program.status, b'{"error":{"code":"NoSuchKey","message":"gone"}}')
                return
            _, content = program.stored[unquote(path)]
            self._answer(200, content[: len(content) - program.cut], announced=len(content))

        def _answer(self, status: int, body: bytes, *, announced: int | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if announced is None else announced))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        program.address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield program
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with three files, a link and a folder without files."""
    site = tmp_path / "site"
    (site / "img" / "深").mkdir(parents=True)
    (site / "empty").mkdir()
    (site / "index.html").write_bytes(b"<p>")
    (site / "img" / "a.png").write_bytes(BYTES)
    (site / "img" / "深" / "云 %41.bin").write_bytes(b"")
    (site / "link").symlink_to("/etc/passwd")
    return site


# --- put ------------------------------------------------------------------------------------------


def test_put_guesses_the_type_and_keeps_the_name(
    shell: Shell, program: Program, site: Path
) -> None:
    result = shell.run("files", "put", str(site / "img" / "a.png"), "--space", SPACE_ID)
    assert result.exit_code == 0, result.output
    assert program.stored == {"a.png": ("image/png", BYTES)}
    assert result.stdout == "a.png  https://cdn/a.png\n"
    assert "1 file, 768,000 bytes" in result.stderr


@pytest.mark.parametrize(
    ("to", "path"),
    [
        ("img/", "img/index.html"),
        ("/img/", "img/index.html"),
        ("img/home.htm", "img/home.htm"),
        ("", "index.html"),
    ],
)
def test_put_to(shell: Shell, program: Program, site: Path, to: str, path: str) -> None:
    result = shell.run("files", "put", str(site / "index.html"), "--space", SPACE_ID, "--to", to)
    assert result.exit_code == 0, result.output
    assert list(program.stored) == [path]


def test_put_of_a_folder(shell: Shell, program: Program, site: Path) -> None:
    result = shell.run(
        "files", "put", str(site), "--space", SPACE_ID, "--to", "www", "-r", "--json"
    )
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["path"] for row in rows] == [
        "www/site/index.html",
        "www/site/img/a.png",
        "www/site/img/深/云 %41.bin",
    ]
    assert program.stored["www/site/img/深/云 %41.bin"] == ("application/octet-stream", b"")
    assert rows[1]["size"] == len(BYTES)
    assert f"{site}/link is no ordinary file" in result.stderr


def test_put_of_a_folder_needs_recursive_and_sends_nothing(
    shell: Shell, program: Program, site: Path
) -> None:
    files = [str(site / "index.html"), str(site)]
    result = shell.run("files", "put", *files, "--space", SPACE_ID)
    assert result.exit_code == 1
    assert "--recursive" in result.stderr
    assert not program.received


def test_put_with_a_type(shell: Shell, program: Program, site: Path) -> None:
    arguments = ["--space", SPACE_ID, "--type", "text/x-own", "--to", "a"]
    shell.run("files", "put", str(site / "index.html"), *arguments)
    assert program.stored == {"a": ("text/x-own", b"<p>")}


def test_put_tells_what_the_address_says(shell: Shell, program: Program, site: Path) -> None:
    program.status = 507
    result = shell.run("files", "put", str(site / "index.html"), "--space", SPACE_ID, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"] == {
        "code": "StorageFull",
        "message": "the disk is full",
    }
    assert not program.stored


# --- get ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["img/a.png", "/img/a.png", "https://cdn/img/a.png", _id("img/a.png")]
)
def test_get_by_every_name(shell: Shell, program: Program, tmp_path: Path, name: str) -> None:
    program.stored["img/a.png"] = ("image/png", BYTES)
    result = shell.run("files", "get", name, "--space", SPACE_ID, "-o", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "a.png").read_bytes() == BYTES
    assert not list(tmp_path.glob(".yunhan-*"))


def test_get_to_stdout(shell: Shell, program: Program) -> None:
    program.stored["a"] = ("image/png", BYTES)
    result = shell.run("files", "get", "a", "--space", SPACE_ID, "-o", "-")
    assert result.stdout_bytes == BYTES
    assert result.stderr == ""


def test_get_replaces_only_by_force(shell: Shell, program: Program, tmp_path: Path) -> None:
    program.stored["a"] = ("image/png", BYTES)
    target = tmp_path / "a"
    target.write_text("mine")
    arguments = ["files", "get", "a", "--space", SPACE_ID, "-o", str(target), "--json"]
    result = shell.run(*arguments)
    assert json.loads(result.stdout)["error"]["code"] == "TargetExists"
    assert target.read_text() == "mine"
    result = shell.run(*arguments, "--force")
    assert json.loads(result.stdout)["file"] == str(target)
    assert target.read_bytes() == BYTES


def test_get_of_bytes_that_end_early_leaves_nothing(
    shell: Shell, program: Program, tmp_path: Path
) -> None:
    program.stored["a"] = ("image/png", BYTES)
    program.cut = 1
    folder = tmp_path / "out"
    folder.mkdir()
    result = shell.run("files", "get", "a", "--space", SPACE_ID, "-o", str(folder / "a"))
    assert result.exit_code == 3
    assert "was cut" in result.stderr
    assert not list(folder.iterdir())


def test_get_notices_other_bytes(
    shell: Shell, program: Program, fake: FakeManagement, tmp_path: Path
) -> None:
    program.stored["a"] = ("image/png", BYTES)
    described = fake.answers["YunhanDescribeFile"]
    assert callable(described)
    fake.answers["YunhanDescribeFile"] = lambda form: {**described(form), "Md5": "0" * 32}
    result = shell.run("files", "get", "a", "--space", SPACE_ID, "-o", str(tmp_path / "a"))
    assert result.exit_code == 1
    assert not (tmp_path / "a").exists()


def test_get_of_what_is_gone(shell: Shell, program: Program, tmp_path: Path) -> None:
    program.stored["a"] = ("image/png", BYTES)
    program.status = 404
    result = shell.run("files", "get", "a", "--space", SPACE_ID, "-o", str(tmp_path / "a"))
    assert (result.exit_code, "gone (NoSuchKey)" in result.stderr) == (1, True)
    result = shell.run("files", "get", "b", "--space", SPACE_ID)
    assert "there is no file /b (FileNotFound)" in result.stderr


def test_get_into_a_folder_that_is_not_there(
    shell: Shell, program: Program, tmp_path: Path
) -> None:
    program.stored["a"] = ("image/png", BYTES)
    target = tmp_path / "no" / "a"
    result = shell.run("files", "get", "a", "--space", SPACE_ID, "-o", str(target))
    assert result.exit_code == 1
    assert "cannot be written: No such file or directory" in result.stderr


# --- ls, rm, rules --------------------------------------------------------------------------------


@pytest.fixture
def some(program: Program) -> Program:
    for number in range(5):
        program.stored[f"img/{number}.png"] = ("image/png", b"x" * number)
    program.stored["zz"] = ("text/plain", b"")
    return program


def test_ls_reads_all_pages(shell: Shell, some: Program) -> None:
    result = shell.run("files", "ls", "/img/", "--space", SPACE_ID, "--json")
    rows = json.loads(result.stdout)
    assert [(row["path"], row["size"]) for row in rows] == [
        (f"img/{number}.png", number) for number in range(5)
    ]
    table = shell.run("files", "ls", "--space", SPACE_ID).stdout.splitlines()
    assert len(table) == 7
    assert table[-1].endswith("zz")


def test_rm(shell: Shell, some: Program) -> None:
    names = ["img/0.png", _id("zz")]
    result = shell.run("files", "rm", *names, "--space", SPACE_ID, "--json")
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {"deleted": name} for name in names
    ]
    assert sorted(some.stored) == [f"img/{number}.png" for number in range(1, 5)]
    result = shell.run("files", "rm", "nothing", "--space", SPACE_ID)
    assert (result.exit_code, "FileNotFound" in result.stderr) == (1, True)


def test_rm_of_a_folder_asks(shell: Shell, some: Program) -> None:
    some.stored["img.txt"] = ("text/plain", b"")
    result = shell.run("files", "rm", "-r", "img", "--space", SPACE_ID, stdin="n\n")
    assert (result.exit_code, len(some.stored)) == (1, 7)
    assert "Delete 5 files?" in result.stderr
    result = shell.run("files", "rm", "-r", "img", "--space", SPACE_ID, "--yes")
    assert result.exit_code == 0, result.output
    assert sorted(some.stored) == ["img.txt", "zz"]


def test_rm_never_takes_the_whole_space(shell: Shell, some: Program) -> None:
    result = shell.run("files", "rm", "-r", "/", "--space", SPACE_ID, "--yes")
    assert (result.exit_code, len(some.stored)) == (1, 6)
    result = shell.run("files", "rm", "-r", "none", "--space", SPACE_ID, "--yes", "--json")
    assert json.loads(result.stdout)["error"]["code"] == "FileNotFound"


def test_rules(shell: Shell, program: Program, tmp_path: Path) -> None:
    assert shell.run("files", "rules", "--space", SPACE_ID).stdout == "{}\n"
    document = '{"file": {"*": {"*": true}}}'
    result = shell.run("files", "rules", "--space", SPACE_ID, "--set", "-", stdin=document)
    assert (result.exit_code, program.rules) == (0, document)
    shown = shell.run("files", "rules", "--space", SPACE_ID)
    assert shown.stdout == f"{document}\n"
    wrong = tmp_path / "rules.json"
    wrong.write_text("no")
    result = shell.run("files", "rules", "--space", SPACE_ID, "--set", str(wrong), "--json")
    assert json.loads(result.stdout)["error"]["code"] == "InvalidParameter.Policy"


def test_paths_that_look_like_ids_are_named_with_a_slash() -> None:
    assert reference(_id("a")) == _id("a")
    assert reference(f"/{_id('a')}") == f"/{_id('a')}"
    assert reference("a/b") == "/a/b"


def test_rules_go_back_to_the_default(shell: Shell, program: Program) -> None:
    result = shell.run("files", "rules", "--space", SPACE_ID, "--reset")
    assert result.exit_code == 0, result.output
    assert program.rules == ""
    both = shell.run("files", "rules", "--space", SPACE_ID, "--reset", "--set", "-", stdin="{}")
    assert both.exit_code == 2
