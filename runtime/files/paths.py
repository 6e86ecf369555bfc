"""Names of files within a space (spec: client protocol §4 and §7; guide 6.4). Pure.

A path is kept as it came: letters of different case, or of different Unicode normal forms, are
different files.
"""

from __future__ import annotations

import hashlib
import string
import unicodedata
import uuid
from urllib.parse import quote

from runtime.files.refusals import param_invalid

PATH_MAX_BYTES = 1023
"""Of a path's UTF-8."""

_PICTURES = ("jpg", "jpeg", "png", "gif", "bmp", "wbmp", "webp", "svg", "image")
_SOUND = ("audio", "au", "mp2", "mp3")
_FILMS = ("3gpp", "mp4", "mpeg", "flv", "avi", "wmv", "mpg", "mpga", "ogg", "webm")
_OF_SDKS = ("video", "pdf", "xls", "xlsx", "doc", "docx", "ppt", "pptx", "txt")
"""Besides the guide's (6.2, 6.4, 12.3.1), which are those above."""

CLIENT_EXTENSIONS = frozenset({*_PICTURES, *_SOUND, *_FILMS, *_OF_SDKS})
"""What apps may upload, lower case; backends, functions and the management side are free."""

_EXTENSION_MAX = 16
_IN_ADDRESS = {each: quote(each) for each in "%?#\\, "}
_CONTROLS = frozenset({"Cc", "Zl", "Zp"})
"""Unicode categories of control characters and of line and paragraph separators."""


def check_path(path: object, parameter: str = "path") -> str:
    """The path as it is. Raises InvalidParameterError (`ParamInvalid`), which names the parameter."""
    if not isinstance(path, str):
        raise param_invalid(parameter, f"a path is a text, not {type(path).__name__}")
    problem = _problem(path)
    if problem:
        raise param_invalid(parameter, f"the path {path[:64]!r} {problem}")
    return path


def file_id_of(space_id: str, path: str) -> str:
    """The id of the file with this path: always the same, so that an overwrite keeps it. As a UUID; nobody
    can choose a path for a given id."""
    digest = hashlib.sha256(f"{space_id}\0{path}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16]))


def wanted_path(file_id: str) -> str | None:
    """The path that an SDK's `fileId` (option `cloudPath`) asks for: that behind a leading slash. None
    for what names an existing file, by id or URL.

    Raises InvalidParameterError for a path that no file can have."""
    return check_path(file_id[1:], "fileId") if file_id.startswith("/") else None


def path_in_address(path: str) -> str:
    """The path as the SDKs may put it behind a host: they do not encode it. Only what would end a path or an
    address (a space), look like a part of its encoding or separate addresses (`info` takes them with commas)
    is encoded, so that people still read their own script. HTTP clients encode that; those that do not have
    to be given it encoded."""
    return "".join(_IN_ADDRESS.get(each, each) for each in path)


def default_path(filename: str, *, target_path: str = "", unique: str) -> str:
    """The path of a file whose uploader asks for none: `unique`, with the extension of the local name, in
    the folder `target_path`, which may begin and end with a slash.

    Raises InvalidParameterError for a folder that cannot be."""
    folder = target_path.removeprefix("/").removesuffix("/")
    extension = extension_of(filename)
    name = f"{unique}.{extension}" if extension else unique
    return check_path(f"{folder}/{name}" if folder else name, "targetPath")


def extension_of(name: str) -> str:
    """What follows the last dot of the last segment, lower case; empty when there is none, or when that is
    no extension but a part of the name."""
    _, dot, extension = name.replace("\\", "/").rpartition("/")[2].rpartition(".")
    if not dot or len(extension) > _EXTENSION_MAX or not extension.isalnum():
        return ""
    return extension.lower()


def check_client_extensions(filename: str, path: str) -> None:
    """Whether an app may upload this: the local name must have one of CLIENT_EXTENSIONS, and so must the
    path, if it has one at all.

    Raises InvalidParameterError (`ParamInvalid`)."""
    wrong = [extension_of(filename)] if extension_of(filename) not in CLIENT_EXTENSIONS else []
    seen = extension_of(_as_seen(path))
    if seen not in CLIENT_EXTENSIONS | {""}:
        wrong.append(seen)
    if wrong:
        shown = f".{wrong[0]}" if wrong[0] else "without an extension"
        allowed = " ".join(sorted(CLIENT_EXTENSIONS))
        raise param_invalid(
            "filename", f"apps upload no files {shown}; they may have one of: {allowed}"
        )


def _as_seen(path: str) -> str:
    """The path as people, and systems that are generous with names, take it: without characters that show
    nothing, and without what ends a name and is dropped (`a.html.`)."""
    shown = "".join(each for each in path if unicodedata.category(each) != "Cf")
    return unicodedata.normalize("NFKC", shown).rstrip(f".{string.whitespace}")


def _problem(path: str) -> str:
    """To be put behind the path; empty when there is none."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "has half of a character"
    if not 1 <= size <= PATH_MAX_BYTES:
        return f"has {size} bytes of UTF-8, 1 to {PATH_MAX_BYTES} are allowed"
    if path[0] in "/\\":
        return "begins with a slash or backslash"
    if any(unicodedata.category(character) in _CONTROLS for character in path):
        return "has a control character or a line separator"
    if not {"", ".", ".."}.isdisjoint(path.split("/")):
        return "has a segment that is empty, . or .."
    return ""
