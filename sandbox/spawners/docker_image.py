"""The image of the docker rung: made of this machine's files, named after its content.

Blocking: call from a thread.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from sandbox.api import SandboxError
from sandbox.spawners.docker_options import BOOTSTRAP_DIR, CHANNEL_DIR, CODE_DIR, HOME, NODE_PATH

SCRATCH = "scratch"
REPOSITORY = "yunhan-sandbox"

_HERE = Path(__file__).resolve().parent.parent
# In a clone, and in an installed wheel.
_PLACES = (_HERE.parent / "deploy" / "docker" / "sandbox", _HERE / "docker_sandbox")

_TAG_DIGITS = 16
_LEFT_OUT = {"test", ".npmrc", "PROTOCOL.md", "README.md"}
_TEXTS = {
    "/etc/passwd": "",  # each container has its own entry mounted over it
    "/etc/group": "",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


def docker_files_dir() -> Path:
    """Where the Dockerfile and the seccomp profile are. Raises SandboxError."""
    for place in _PLACES:
        if (place / "Dockerfile").is_file() and (place / "seccomp.json").is_file():
            return place
    raise SandboxError(
        "the files of the docker rung (Dockerfile, seccomp.json) are not installed.",
        what_next="Reinstall the yunhan package.",
    )


def check_bootstrap(bootstrap: Path) -> None:
    """Raises SandboxError for a folder that is not the bootstrap's."""
    if not (bootstrap / "index.mjs").is_file():
        raise SandboxError(f"{bootstrap} has no index.mjs, the sandbox's entry.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxImage:
    """All that goes into one image: `files` maps paths inside to files of this machine."""

    base: str
    dockerfile: bytes
    files: Mapping[PurePosixPath, Path]
    tag: str

    @property
    def arguments(self) -> dict[str, str]:
        """The build's arguments."""
        return {"BASE": self.base}

    def open_context(self) -> BinaryIO:
        """The build's context, a tar file on disk that is deleted when it is closed."""
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        try:
            with tarfile.open(fileobj=file, mode="w") as tar:
                for entry, content in self._entries():
                    tar.addfile(entry, content)
                    if content is not None:
                        content.close()
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return cast("BinaryIO", file)

    def _entries(self) -> Iterator[tuple[tarfile.TarInfo, BinaryIO | None]]:
        yield _text_entry("Dockerfile", self.dockerfile)
        for directory in (HOME, CHANNEL_DIR, CODE_DIR):
            entry = tarfile.TarInfo(f"rootfs{directory}")
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            yield entry, None
        for path, text in _TEXTS.items():
            yield _text_entry(f"rootfs{path}", text.encode())
        for inside, source in self.files.items():
            entry = tarfile.TarInfo(f"rootfs{inside}")
            entry.size = source.stat().st_size
            entry.mode = 0o755 if os.access(source, os.X_OK) else 0o644
            yield entry, source.open("rb")


def sandbox_image(
    node: Path, libraries: Sequence[Path], bootstrap: Path, *, base: str = SCRATCH
) -> SandboxImage:
    """What the image for one Node.js executable consists of; reads all of it (0.2 s).

    `libraries` (`sandbox.node_libraries`) are added on the base `scratch` only: two C libraries in
    one image do not mix.
    Raises SandboxError.
    """
    try:
        files = {PurePosixPath(NODE_PATH): node, **_bootstrap_files(bootstrap)}
        if base == SCRATCH:
            files |= {PurePosixPath(path): path for path in libraries}
        dockerfile = (docker_files_dir() / "Dockerfile").read_bytes()
        digest = _digest(base, dockerfile, files)
    except OSError as error:
        raise SandboxError(f"the sandbox's image cannot be made: {error}.") from error
    tag = f"{REPOSITORY}:{digest[:_TAG_DIGITS]}"
    return SandboxImage(base=base, dockerfile=dockerfile, files=files, tag=tag)


def _bootstrap_files(bootstrap: Path) -> dict[PurePosixPath, Path]:
    files = {}
    for path in sorted(bootstrap.rglob("*")):
        relative = path.relative_to(bootstrap)
        if path.is_file() and relative.parts[0] not in _LEFT_OUT:
            files[PurePosixPath(BOOTSTRAP_DIR) / relative.as_posix()] = path
    return files


def _digest(base: str, dockerfile: bytes, files: Mapping[PurePosixPath, Path]) -> str:
    digest = hashlib.sha256(f"{base}\n{_TEXTS}\n".encode() + dockerfile)
    for inside, source in sorted(files.items()):
        with source.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{inside}\0{os.access(source, os.X_OK)}\0{content}\n".encode())
    return digest.hexdigest()


def _text_entry(name: str, text: bytes) -> tuple[tarfile.TarInfo, BinaryIO]:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text), 0o644
    return entry, io.BytesIO(text)
