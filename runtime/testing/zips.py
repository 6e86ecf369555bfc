"""Zip files made by hand, so that every field can lie."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

STORED, DEFLATED = 0, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class RawEntry:
    """One entry; None = what the data says. `at` overrides where the directory looks for it."""

    name: bytes
    data: bytes = b""
    method: int = DEFLATED
    mode: int = 0
    flags: int = 0
    local_name: bytes | None = None
    local_flags: int | None = None
    local_method: int | None = None
    packed: bytes | None = None
    packed_bytes: int | None = None
    size_bytes: int | None = None
    crc: int | None = None
    at: int | None = None
    extra: bytes = b""
    comment: bytes = b""


def make_zip(
    entries: Sequence[RawEntry],
    *,
    count: int | None = None,
    disk: int = 0,
    prefix: bytes = b"",
    before_end: bytes = b"",
    comment: bytes = b"",
    suffix: bytes = b"",
    zip64: bool = False,
) -> bytes:
    """A zip of these entries. `prefix`, `before_end` and `suffix` are foreign bytes at the front,
    between directory and end record, and at the end; offsets do not count the prefix."""
    body, directory = b"", b""
    for entry in entries:
        at = len(body) if entry.at is None else entry.at
        body += _local(entry)
        directory += _central(entry, at)
    number = len(entries) if count is None else count
    end64 = b""
    if zip64:
        record = struct.pack(
            *("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, disk, disk, number, number),
            *(len(directory), len(body)),
        )
        where = len(body) + len(directory)
        end64 = record + struct.pack("<4sLQL", b"PK\x06\x07", 0, where, 1)
    end = struct.pack(
        *("<4s4H2LH", b"PK\x05\x06", disk, disk),
        *((0xFFFF, 0xFFFF) if zip64 else (number & 0xFFFF, number & 0xFFFF)),
        *((0xFFFFFFFF, 0xFFFFFFFF) if zip64 else (len(directory), len(body))),
        len(comment),
    )
    return prefix + body + directory + before_end + end64 + end + comment + suffix


def deflate(data: bytes, level: int = 9) -> bytes:
    """Raw deflate data, as it stands in a zip."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def packed_of(entry: RawEntry) -> bytes:
    """The bytes that stand for the entry's data in the file."""
    if entry.packed is not None:
        return entry.packed
    return deflate(entry.data) if entry.method == DEFLATED else entry.data


def _sizes(entry: RawEntry) -> tuple[int, int, int]:
    """Checksum, packed size and size as the entry declares them."""
    return (
        zlib.crc32(entry.data) if entry.crc is None else entry.crc,
        len(packed_of(entry)) if entry.packed_bytes is None else entry.packed_bytes,
        len(entry.data) if entry.size_bytes is None else entry.size_bytes,
    )


def _local(entry: RawEntry) -> bytes:
    name = entry.name if entry.local_name is None else entry.local_name
    flags = entry.flags if entry.local_flags is None else entry.local_flags
    method = entry.method if entry.local_method is None else entry.local_method
    header = struct.pack(
        *("<4s5H3L2H", b"PK\x03\x04", 20, flags, method, 0, 0x21),
        *(value & 0xFFFFFFFF for value in _sizes(entry)),
        *(len(name), 0),
    )
    return header + name + packed_of(entry)


def _central(entry: RawEntry, at: int) -> bytes:
    header = struct.pack(
        "<4s6H3L5H2L",
        b"PK\x01\x02",
        3 << 8 | 20,
        20,
        entry.flags,
        entry.method,
        0,
        0x21,
        *_sizes(entry),
        len(entry.name),
        len(entry.extra),
        len(entry.comment),
        0,
        0,
        entry.mode << 16,
        at,
    )
    return header + entry.name + entry.extra + entry.comment
