"""A base image from this machine's own Debian packages, where no image can be pulled.

It holds the named packages with all that they need, as `dpkg` knows them, and the certificates and package
sources of this machine: what a `python:3.x-slim` image would bring, and more.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

# The network's certificates, its package sources, and what maintainer scripts made.
_MADE = (
    *("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/ld.so.cache"),
    *("/etc/nsswitch.conf", "/etc/pip.conf", "/etc/ssl/certs", "/etc/alternatives"),
    *("/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/apt/trusted.gpg.d"),
    *("/usr/share/keyrings", "/var/lib/dpkg/status", "/var/lib/dpkg/info/format"),
)
_MERGED = ("bin", "sbin", "lib", "lib64")
_EMPTY = {"tmp": 0o1777, "var/tmp": 0o1777, "proc": 0o755, "sys": 0o755, "dev": 0o755, "run": 0o755}
_LEFT_OUT = ("/usr/share/doc/", "/usr/share/man/", "/usr/share/locale/", "/usr/share/info/")


def missing_packages(names: Iterable[str]) -> list[str]:
    """Those that are not installed here; all of them on a system that is not Debian's kind."""
    try:
        installed = _installed()
    except OSError:
        return list(names)
    return [name for name in names if name not in installed]


def write_rootfs(names: Iterable[str], target: Path) -> None:
    """A tar file for `docker import`."""
    listed = subprocess.run(
        ["dpkg-query", "--listfiles", *sorted(_closure(names))],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    paths = {path for path in listed if path.startswith("/") and not path.startswith(_LEFT_OUT)}
    for made in map(Path, _MADE):
        paths |= {str(made), *(str(path) for path in (made.rglob("*") if made.is_dir() else ()))}
    # By the real name of its folder: /bin is a link to usr/bin, and stays one.
    real = {str(Path(path).parent.resolve() / Path(path).name) for path in paths}
    with tarfile.open(target, "w") as tar:
        for name, mode in _EMPTY.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for path in sorted(real | {f"/{name}" for name in _MERGED}):
            if path.strip("/") not in {"", ".", *_EMPTY} and os.path.lexists(path):
                _add(tar, path)


def _add(tar: tarfile.TarFile, path: str) -> None:
    entry = tar.gettarinfo(path, arcname=path.lstrip("/"))
    if entry is None or not (entry.isfile() or entry.isdir() or entry.issym() or entry.islnk()):
        return
    if entry.islnk():  # another name of a file that may not be in here
        entry.type, entry.size = tarfile.REGTYPE, Path(path).stat().st_size
    if not entry.isreg():
        tar.addfile(entry)
        return
    content = Path(path).read_bytes()
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _closure(names: Iterable[str]) -> set[str]:
    installed = _installed()
    needed: set[str] = set()
    todo = [*names, *(name for name, (essential, _) in installed.items() if essential)]
    while todo:
        name = todo.pop()
        if name in needed or name not in installed:
            continue
        needed.add(name)
        todo += installed[name][1]
    return {name for name in needed if not installed[name][0] or name in needed}


def _installed() -> Mapping[str, tuple[bool, list[str]]]:
    """By name, and by the names that a package provides: whether it is essential, and what it needs."""
    fields = ("Package", "Status", "Essential", "Pre-Depends", "Depends")
    form = "\t".join(f"${{{field}}}" for field in fields) + "\n"
    out = subprocess.run(
        ["dpkg-query", "--show", f"--showformat={form}"], capture_output=True, text=True, check=True
    ).stdout
    packages = {}
    for line in out.splitlines():
        name, status, essential, *needs = line.split("\t")
        if status.endswith(" installed"):
            packages[name] = (essential == "yes", [n for need in needs for n in _names(need)])
    return packages


def _names(relations: str) -> Iterator[str]:
    """All alternatives: those that are not installed are passed over."""
    for part in re.split(r"[,|]", relations):
        if name := part.strip().partition(" ")[0].partition(":")[0]:
            yield name
