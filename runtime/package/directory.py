"""The directory of a zip file that nobody trusts: where it is, and its entries, under a bound.

Own code instead of `zipfile`, which builds the whole directory (some fields in quadratic time)
before its caller can bound it, tolerates foreign bytes around the archive, and fails with a dozen
kinds of exception. This reader takes exactly what the format says: the directory ends where the end
record begins, the end record ends where the file ends, and nothing was put before the first entry.
Memory is bounded by the number of entries, time by the size of the directory.

Format: PKWARE APPNOTE 6.3, sections 4.3 (records), 4.4 (fields), 4.5.3 (zip64).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import BinaryIO

from runtime.package.errors import PackageCode, PackageError, damaged
from runtime.package.names import PATH_MAX_BYTES, shown

STORED, DEFLATED = 0, 8
FLAGS_ENCRYPTED = 0x1 | 0x40 | 0x2000
"""Encrypted by password, strongly, or with a masked header."""

_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_END64_LOCATOR = struct.Struct("<4sLQL")
_ZIP64_EXTRA = 0x0001
_COMMENT_MAX = 0xFFFF
_U16, _U32 = 0xFFFF, 0xFFFF_FFFF
_FLAG_PATCH, _FLAG_UTF8 = 0x20, 0x800


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipEntry:
    """One entry as the central directory tells it. Sizes and offsets in bytes."""

    name: str
    raw_name: bytes
    mode: int
    """Unix file mode, 0 when the archive was made elsewhere."""
    method: int
    crc: int
    packed_bytes: int
    size_bytes: int
    offset: int
    end: int = 0
    """Where the next entry or the directory begins; this entry's data ends there at the latest."""


def read_directory(file: BinaryIO, *, entries_max: int) -> list[ZipEntry]:
    """All entries in the directory's order. Raises PackageError, for too many before reading any."""
    file_bytes = file.seek(0, 2)
    count, start, size = _find_directory(file, file_bytes)
    if count > entries_max:
        raise PackageError(
            PackageCode.TOO_MANY_ENTRIES,
            f"the zip has {count} entries, at most {entries_max} are allowed; leave out what the"
            " function does not need (development dependencies, tests)",
        )
    file.seek(start)
    entries: list[ZipEntry] = []
    left = size
    for _ in range(count):
        entry, used = _read_central(file, left)
        left -= used
        if entry.offset >= start:
            raise damaged(f"entry {shown(entry.name)} is not where the directory says")
        entries.append(entry)
    if left:
        raise damaged("its directory has more entries than its end record says")
    in_file = sorted(range(count), key=lambda index: entries[index].offset)
    for index, following in pairwise(in_file):
        entries[index] = replace(entries[index], end=entries[following].offset)
    if in_file:
        entries[in_file[-1]] = replace(entries[in_file[-1]], end=start)
    return entries


def _find_directory(file: BinaryIO, file_bytes: int) -> tuple[int, int, int]:
    """Number of entries, offset and size of the central directory."""
    tail_bytes = min(file_bytes, _END.size + _COMMENT_MAX)
    file.seek(file_bytes - tail_bytes)
    tail = file.read(tail_bytes)
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0 and not _ends_with(tail, at):
        at = tail.rfind(b"PK\x05\x06", 0, at)
    if at < 0:
        raise PackageError(
            PackageCode.NOT_A_ZIP,
            "this is not a whole zip file (it has no end record); make it again and upload it"
            " completely",
        )
    _, disk, start_disk, _, count, size, start, _ = _END.unpack_from(tail, at)
    end = file_bytes - tail_bytes + at
    if _U16 in (disk, start_disk, count) or _U32 in (size, start):
        end64 = _find_end64(file, end)
        if end64 is not None:
            end, disk, start_disk, count, size, start = end64
    if disk or start_disk:
        raise PackageError(PackageCode.NOT_A_ZIP, "the zip is split in parts; make it in one part")
    if start + size != end:
        raise PackageError(
            PackageCode.NOT_A_ZIP,
            "the zip has foreign bytes before or inside it (a self-extracting archive?);"
            " make a plain zip",
        )
    return count, start, size


def _ends_with(tail: bytes, at: int) -> bool:
    """Whether the end record at this place and its comment fill the file to its end."""
    if at + _END.size > len(tail):
        return False
    comment_bytes = _END.unpack_from(tail, at)[-1]
    return bool(at + _END.size + comment_bytes == len(tail))


def _find_end64(file: BinaryIO, end: int) -> tuple[int, int, int, int, int, int] | None:
    """The zip64 end record, if there is one: its offset, disk, start disk, count, size, start."""
    if end < _END64_LOCATOR.size + _END64.size:
        return None
    file.seek(end - _END64_LOCATOR.size)
    locator_signature, _, offset, _ = _END64_LOCATOR.unpack(file.read(_END64_LOCATOR.size))
    if locator_signature != b"PK\x06\x07":
        return None
    if offset + _END64.size > end - _END64_LOCATOR.size:
        raise damaged("its zip64 end record is not where it says")
    file.seek(offset)
    record = _END64.unpack(file.read(_END64.size))
    if record[0] != b"PK\x06\x06":
        raise damaged("its zip64 end record is not where it says")
    _, _, _, _, disk, start_disk, _, count, size, start = record
    return offset, disk, start_disk, count, size, start


def _read_central(file: BinaryIO, left: int) -> tuple[ZipEntry, int]:
    """The next entry of the directory and the bytes that it took; `left` bytes are there."""
    if left < _CENTRAL.size:
        raise damaged("its directory ends early")
    fields = _CENTRAL.unpack(file.read(_CENTRAL.size))
    signature, _, _, flags, method, _, _, crc, packed, size = fields[:10]
    name_bytes, extra_bytes, comment_bytes, _, _, attributes, offset = fields[10:]
    used = _CENTRAL.size + name_bytes + extra_bytes + comment_bytes
    if signature != b"PK\x01\x02" or used > left:
        raise damaged("its directory is not readable")
    raw_name = file.read(name_bytes)
    name = _decode(raw_name, utf8=bool(flags & _FLAG_UTF8))
    if len(raw_name) > PATH_MAX_BYTES + 1:
        raise PackageError(
            PackageCode.NAME,
            f"entry {shown(name)} has a name of more than {PATH_MAX_BYTES} bytes; shorten it",
        )
    extra = file.read(extra_bytes)
    file.seek(comment_bytes, 1)
    if _U32 in (size, packed, offset):
        size, packed, offset = _zip64_values(extra, size, packed, offset)
    entry = ZipEntry(
        name=name,
        raw_name=raw_name,
        mode=attributes >> 16,
        method=method,
        crc=crc,
        packed_bytes=packed,
        size_bytes=size,
        offset=offset,
    )
    _refuse_unreadable(entry, flags)
    return entry, used


def _zip64_values(extra: bytes, *values: int) -> tuple[int, int, int]:
    """Size, packed size and offset, with the extra field's 64-bit values where they are needed."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == _ZIP64_EXTRA:
            data = extra[at + 4 : at + 4 + length]
            wide = [each for (each,) in struct.iter_unpack("<Q", data[: len(data) // 8 * 8])]
            if len(wide) < values.count(_U32):
                break
            size, packed, offset = (wide.pop(0) if value == _U32 else value for value in values)
            return size, packed, offset
        at += 4 + length
    raise damaged("a zip64 field is missing")


def _decode(raw_name: bytes, *, utf8: bool) -> str:
    """An entry's name. Without the UTF-8 flag it is UTF-8 where it can be (macOS forgets the flag),
    else code page 437, which has a character for every byte."""
    try:
        return raw_name.decode()
    except UnicodeDecodeError:
        if utf8:
            raise PackageError(
                PackageCode.NAME, f"entry {raw_name[:100]!r} is not valid UTF-8; rename the file"
            ) from None
        return raw_name.decode("cp437")


def _refuse_unreadable(entry: ZipEntry, flags: int) -> None:
    if flags & FLAGS_ENCRYPTED:
        raise PackageError(
            PackageCode.ENCRYPTED,
            f"entry {shown(entry.name)} is encrypted; make the zip without a password",
        )
    if entry.method not in (STORED, DEFLATED) or flags & _FLAG_PATCH:
        raise PackageError(
            PackageCode.METHOD,
            f"entry {shown(entry.name)} is packed by method {entry.method}; only stored (0) and"
            " deflate (8) are known; make the zip with the usual settings",
        )
