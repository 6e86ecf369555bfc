from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import InvalidParameterError
from runtime.files.paths import (
    CLIENT_EXTENSIONS,
    PATH_MAX_BYTES,
    check_client_extensions,
    check_path,
    default_path,
    extension_of,
    file_id_of,
    wanted_path,
)

UNIQUE = "0b1c"


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a/b.png",
        "图片/猫 ❤.JPG",
        "...",
        ".hidden/..b",
        "a\\b",
        "%2e%2e/a?b#c&d",
        "👩\u200d👩\u200d👧/नमस्ते",
        "a" * PATH_MAX_BYTES,
        "云" * 341,
        "*",
    ],
)
def test_paths(path: str) -> None:
    assert check_path(path) is path


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "0 bytes"),
        ("a" * (PATH_MAX_BYTES + 1), "1024 bytes"),
        ("云" * 342, "1026 bytes"),
        ("/a", "begins with a slash"),
        ("\\a", "begins with a slash or backslash"),
        ("a//b", "segment"),
        ("a/", "segment"),
        (".", "segment"),
        ("a/../b", "segment"),
        ("a/./b", "segment"),
        ("..", "segment"),
        ("a\0b", "control character"),
        ("a\nb", "control character"),
        ("a\x7f", "control character"),
        ("a\x85", "control character"),
        ("a\u2028b", "line separator"),
        ("a\ud83d", "half of a character"),
        (None, "not NoneType"),
        (["a"], "not list"),
        (7, "not int"),
    ],
)
def test_no_paths(path: Any, message: str) -> None:
    with pytest.raises(InvalidParameterError, match=message) as refused:
        check_path(path, "fileId")
    assert (refused.value.code, refused.value.parameter) == ("ParamInvalid", "fileId")
    refused.value.message.encode()


@given(st.text(alphabet="a/.\\\n云😀\u2028", max_size=6))
def test_a_path_never_leaves_its_space(path: str) -> None:
    try:
        check_path(path)
    except InvalidParameterError:
        return
    assert path
    assert all(segment not in {"", ".", ".."} for segment in path.split("/"))
    assert not {"\n", "\u2028"} & set(path)


def test_an_id_belongs_to_a_space_and_a_path() -> None:
    found = file_id_of("mp-1", "a/b.png")
    assert found == str(uuid.UUID(found)) == file_id_of("mp-1", "a/b.png")
    # written down: ids must survive new versions of the program
    assert found == "e9f68aaf-9925-8a17-b968-f1cf71abe428"
    ids = {
        file_id_of(space, path)
        for space in ("mp-1", "mp-2", "mp-")
        for path in ("1", "2", "A", "a")
    }
    assert len(ids) == 12


@pytest.mark.parametrize(
    ("file_id", "path"),
    [
        ("/a/b.png", "a/b.png"),
        ("https://localhost:8743/oss/mp-1/a.png", None),
        ("00000000-0000-0000-0000-000000000000", None),
        ("", None),
        ("a/b.png", None),
    ],
)
def test_a_wanted_path_begins_with_a_slash(file_id: str, path: str | None) -> None:
    assert wanted_path(file_id) == path


@pytest.mark.parametrize("file_id", ["/", "//a", "/a/../b", "/" + "a" * 1024])
def test_a_wanted_path_is_checked(file_id: str) -> None:
    with pytest.raises(InvalidParameterError) as refused:
        wanted_path(file_id)
    assert (refused.value.code, refused.value.parameter) == ("ParamInvalid", "fileId")


@pytest.mark.parametrize(
    ("filename", "target_path", "path"),
    [
        ("cat.PNG", "", "0b1c.png"),
        ("cat", "", "0b1c"),
        ("cat", "pets", "pets/0b1c"),
        ("cat.tar.gz", "/pets/old/", "pets/old/0b1c.gz"),
        ("../../etc/x.jpg", "", "0b1c.jpg"),
        ("x.jpg/../../y", "", "0b1c"),
        ("cat.p n g", "", "0b1c"),
        ("", "/", "0b1c"),
    ],
)
def test_a_path_that_nobody_asked_for(filename: str, target_path: str, path: str) -> None:
    assert default_path(filename, target_path=target_path, unique=UNIQUE) == path


@pytest.mark.parametrize("target_path", ["..", "a/../..", "//a", "a\n", "a//"])
def test_a_folder_is_checked(target_path: str) -> None:
    with pytest.raises(InvalidParameterError) as refused:
        default_path("cat.png", target_path=target_path, unique=UNIQUE)
    assert (refused.value.code, refused.value.parameter) == ("ParamInvalid", "targetPath")


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("a.png", "png"),
        ("a.tar.GZ", "gz"),
        (".png", "png"),
        ("a.", ""),
        ("a", ""),
        ("a.b/c", ""),
        ("a.b\\c", ""),
        ("C:\\a.txt", "txt"),
        ("a.jpg?x=1", ""),
        ("a." + "x" * 17, ""),
        ("a.图片", "图片"),
    ],
)
def test_extensions(name: str, extension: str) -> None:
    assert extension_of(name) == extension


def test_what_apps_may_upload() -> None:
    for extension in CLIENT_EXTENSIONS:
        check_client_extensions(f"a.{extension.upper()}", f"b.{extension}")
    check_client_extensions("a.png", "avatars/without")
    check_client_extensions("a.png", "v1.2 of mine/a 👩\u200d🔬 b.png")
    # both lists are in: the guide's and the SDK's
    assert {"ogg", "webm", "mpga", "image"} < CLIENT_EXTENSIONS
    assert {"video", "pptx", "txt"} < CLIENT_EXTENSIONS
    assert len(CLIENT_EXTENSIONS) == 32


@pytest.mark.parametrize(
    ("filename", "path", "message"),
    [
        ("a.html", "a.png", r"\.html"),
        ("a", "a.png", "without an extension"),
        ("a.png", "a.html", r"\.html"),
        ("a.png", "a.js", r"\.js"),
        ("png", "png", "without an extension"),
        ("a.png", "a.html ", r"\.html"),
        ("a.png", "a.html. .", r"\.html"),
        ("a.png", "a.html\u200b", r"\.html"),
        ("a.png", "a.ht\u00adml", r"\.html"),
        ("a.png", "a.html\u3000", r"\.html"),
        ("a.png", "a.exe\uff0e", r"\.exe"),
        ("a.png", "a.\uff45\uff58\uff45", r"\.exe"),
        ("a.png", "a\uff0eexe", r"\.exe"),
    ],
)
def test_what_apps_may_not_upload(filename: str, path: str, message: str) -> None:
    with pytest.raises(InvalidParameterError, match=message) as refused:
        check_client_extensions(filename, path)
    assert refused.value.code == "ParamInvalid"
