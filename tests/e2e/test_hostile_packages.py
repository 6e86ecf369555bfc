"""Hostile code packages through the running program: each is refused, and the code before it goes on."""

from __future__ import annotations

import json
import stat
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime.package.check import PackageCode
from runtime.testing.zips import STORED, RawEntry, deflate, make_zip
from tests.harness.management import Management, ManagementError
from tests.harness.program import Program

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024
NAME = "packed"
NEW_CODE = RawEntry(name=b"index.js", data=b"module.exports = () => 'hostile'\n")
OUTSIDE = "escaped-from-a-package"
TARGET = f"/tmp/{OUTSIDE}"
_LINK, _FIFO, _DEVICE = stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644, stat.S_IFCHR | 0o666


@dataclass(frozen=True)
class Hostile:
    """A package, and what it is refused for."""

    name: str
    code: PackageCode
    content: bytes


def refused(code: PackageCode, name: str, *entries: RawEntry, count: int | None = None) -> Hostile:
    """`count` is how many entries the package says it has."""
    content = make_zip([NEW_CODE, *entries], count=count, zip64=count is not None)
    return Hostile(name, code, content)


def overlapping() -> list[RawEntry]:
    """One block of packed zeros, claimed by many entries."""
    block = RawEntry(name=b"a", data=bytes(MIB))
    at = len(make_zip([NEW_CODE])) - 22 - 46 - len(NEW_CODE.name)
    others = [RawEntry(name=b"b%d" % n, local_name=b"", packed=b"", at=at) for n in range(500)]
    return [block, *others]


PACKAGES = [
    refused(PackageCode.TOO_LARGE, "a bomb", RawEntry(name=b"zeros", data=bytes(16 * MIB))),
    refused(
        PackageCode.DAMAGED,
        "a bomb that declares a small size",
        RawEntry(name=b"zeros", packed=deflate(bytes(16 * MIB)), size_bytes=10),
    ),
    refused(PackageCode.DAMAGED, "a bomb of overlapping entries", *overlapping()),
    refused(PackageCode.TOO_MANY_ENTRIES, "entries without end", count=10**6),
    refused(
        PackageCode.TOO_MANY_ENTRIES,
        "folders without end",
        *(RawEntry(name=b"%d" % n + b"/a" * 500) for n in range(110)),
    ),
    refused(PackageCode.NAME, "upwards", RawEntry(name=f"../../../..{TARGET}".encode(), data=b"x")),
    refused(PackageCode.NAME, "upwards inside", RawEntry(name=b"lib/../../x", data=b"x")),
    refused(PackageCode.NAME, "an absolute path", RawEntry(name=TARGET.encode(), data=b"x")),
    refused(PackageCode.NAME, "a drive", RawEntry(name=b"C:/x", data=b"x")),
    refused(PackageCode.NAME, "backslashes", RawEntry(name=b"..\\..\\x", data=b"x")),
    refused(PackageCode.NAME, "a zero in the name", RawEntry(name=b"a\0b", data=b"x")),
    refused(
        PackageCode.DAMAGED,
        "another name in the entry itself",
        RawEntry(name=b"lib/x", local_name=b"../../x", data=b"x"),
    ),
    refused(PackageCode.TYPE, "a link", RawEntry(name=b"passwd", data=b"/etc/passwd", mode=_LINK)),
    refused(
        PackageCode.TYPE,
        "a link to a folder, and a file through it",
        RawEntry(name=b"out", data=b"/tmp", mode=_LINK, method=STORED),
        RawEntry(name=f"out/{OUTSIDE}".encode(), data=b"x"),
    ),
    refused(PackageCode.TYPE, "a pipe", RawEntry(name=b"pipe", mode=_FIFO)),
    refused(PackageCode.TYPE, "a device", RawEntry(name=b"null", mode=_DEVICE)),
    refused(PackageCode.DUPLICATE, "a name twice", NEW_CODE),
    refused(
        PackageCode.DUPLICATE,
        "a file as a folder",
        RawEntry(name=b"lib", data=b"x"),
        RawEntry(name=b"lib/x", data=b"x"),
    ),
    refused(PackageCode.ENCRYPTED, "encrypted", RawEntry(name=b"x", data=b"x", flags=1)),
    refused(PackageCode.METHOD, "another method", RawEntry(name=b"x", data=b"x", method=14)),
    Hostile("no zip", PackageCode.NOT_A_ZIP, b"no zip at all"),
]


@pytest.fixture(scope="module")
def space_id(management: Management) -> str:
    space_id, _ = management.space("hostile-zip")
    management.deploy(space_id, NAME, {"index.js": "module.exports = () => 'first'"})
    assert answer(management, space_id) == "first"
    return space_id


def answer(management: Management, space_id: str) -> object:
    return json.loads(management.invoke(space_id, NAME)["Result"])


def upload(management: Management, space_id: str, package: bytes) -> tuple[str, int, str]:
    """The deployment's id, and the status and code that its package was answered with."""
    made = management.call("CreateFunctionDeployment", SpaceId=space_id, Name=NAME)
    request = urllib.request.Request(made["UploadSignedUrl"], data=package, method="PUT")
    deployment_id = str(made["DeploymentId"])
    try:
        with urllib.request.urlopen(request, timeout=60) as answered:
            return deployment_id, answered.status, ""
    except urllib.error.HTTPError as error:
        with error:
            return deployment_id, error.code, json.loads(error.read())["Code"]


def peak_mb(program: Program) -> int:
    assert program.process is not None
    text = Path(f"/proc/{program.process.pid}/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_it_is_refused_and_the_old_code_goes_on(
    management: Management, program: Program, space_id: str, package: Hostile
) -> None:
    before = peak_mb(program)
    deployment_id, status, told = upload(management, space_id, package.content)
    assert (status, told) == (400, package.code)
    assert peak_mb(program) - before < 100
    with pytest.raises(ManagementError):
        management.call("DeployFunction", SpaceId=space_id, DeploymentId=deployment_id)
    assert answer(management, space_id) == "first"
    assert not Path(TARGET).exists()
    strays = [path for path in program.data_dir.rglob("*") if OUTSIDE in path.name]
    assert strays == []


def test_bits_of_a_package_give_no_rights(management: Management, space_id: str) -> None:
    source = b"""
const fs = require('fs');
const path = require('path');
module.exports = () => fs.readdirSync(__dirname, { recursive: true }).map((name) => {
  const { mode } = fs.statSync(path.join(__dirname, name));
  let writable = true;
  try { fs.accessSync(path.join(__dirname, name), fs.constants.W_OK); } catch { writable = false; }
  return { name, bits: mode & 0o7000, writable: writable && process.getuid() !== 0 };
});
"""
    package = make_zip(
        [
            RawEntry(name=b"index.js", data=source, mode=stat.S_IFREG | 0o6666),
            RawEntry(name=b"tool", data=b"#!/bin/sh\n", mode=stat.S_IFREG | 0o6777),
            RawEntry(name=b"open/", method=STORED, mode=stat.S_IFDIR | 0o3777),
            RawEntry(name=b"open/x", data=b"x", mode=stat.S_IFREG | 0o1777),
        ]
    )
    try:
        management.call("CreateFunction", SpaceId=space_id, Name="bits")
        made = management.call("CreateFunctionDeployment", SpaceId=space_id, Name="bits")
        request = urllib.request.Request(made["UploadSignedUrl"], data=package, method="PUT")
        with urllib.request.urlopen(request, timeout=60):
            pass
        management.call("DeployFunction", SpaceId=space_id, DeploymentId=made["DeploymentId"])
        found = json.loads(management.invoke(space_id, "bits")["Result"])
    finally:
        assert answer(management, space_id) == "first"
    assert {each["name"] for each in found} == {
        "index.js",
        "tool",
        "open",
        "open/x",
    }
    assert [each for each in found if each["bits"] or each["writable"]] == []
