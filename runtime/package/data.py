"""The data of one entry of a zip file that nobody trusts.

Strict where archives can lie: the local header agrees with the directory, entries do not overlap,
size and checksum are what the directory says. Memory is constant, time is bounded by the packed and
the declared size.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from runtime.package.directory import FLAGS_ENCRYPTED, STORED, ZipEntry
from runtime.package.errors import PackageError, damaged
from runtime.package.names import shown

CHUNK_BYTES = 256 * 1024

_LOCAL = struct.Struct("<4s5H3L2H")


def read_entry(file: BinaryIO, entry: ZipEntry) -> Iterator[bytes]:
    """The entry's bytes in chunks of at most CHUNK_BYTES.

    Raises PackageError as soon as they contradict the directory, at the latest after the last
    chunk: what was read counts only when the iterator came to its end.
    """
    _seek_data(file, entry)
    packed = _read_packed(file, entry)
    # Some tools mark empty files as deflated and store no bytes at all.
    stored = entry.method == STORED or not entry.packed_bytes
    chunks = packed if stored else _inflate(packed, entry)
    size = crc = 0
    for chunk in chunks:
        size += len(chunk)
        if size > entry.size_bytes:
            raise damaged(f"entry {shown(entry.name)} is larger than it says")
        crc = zlib.crc32(chunk, crc)
        yield chunk
    if size != entry.size_bytes or crc != entry.crc:
        raise damaged(f"entry {shown(entry.name)} has not the size and checksum that it says")


def _seek_data(file: BinaryIO, entry: ZipEntry) -> None:
    """Go to the first byte of the entry's data, if its local header agrees with the directory."""
    if entry.offset + _LOCAL.size > entry.end:
        raise _overlap(entry)
    file.seek(entry.offset)
    fields = _LOCAL.unpack(file.read(_LOCAL.size))
    signature, _, flags, method, _, _, _, _, _, name_bytes, extra_bytes = fields
    data = entry.offset + _LOCAL.size + name_bytes + extra_bytes
    if signature != b"PK\x03\x04":
        raise damaged(f"entry {shown(entry.name)} is not where the directory says")
    if file.read(name_bytes) != entry.raw_name or method != entry.method or flags & FLAGS_ENCRYPTED:
        raise damaged(f"entry {shown(entry.name)} is another one in the directory than in the file")
    if data + entry.packed_bytes > entry.end:
        raise _overlap(entry)
    file.seek(data)


def _read_packed(file: BinaryIO, entry: ZipEntry) -> Iterator[bytes]:
    left = entry.packed_bytes
    while left:
        chunk = file.read(min(left, CHUNK_BYTES))
        if not chunk:
            raise damaged(f"entry {shown(entry.name)} ends early")
        left -= len(chunk)
        yield chunk


def _inflate(packed: Iterator[bytes], entry: ZipEntry) -> Iterator[bytes]:
    """Unpack in bounded steps: a chunk of input may stand for a thousand chunks of output."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    while not inflater.eof:
        fresh = inflater.unconsumed_tail or next(packed, b"")
        try:
            chunk = inflater.decompress(fresh, CHUNK_BYTES)
        except zlib.error as error:
            raise damaged(f"entry {shown(entry.name)} cannot be unpacked ({error})") from None
        if chunk:
            yield chunk
        elif not fresh and not inflater.eof:
            raise damaged(f"entry {shown(entry.name)} ends early")
    if inflater.unused_data or next(packed, b""):
        raise damaged(f"entry {shown(entry.name)} has bytes after its end")


def _overlap(entry: ZipEntry) -> PackageError:
    return damaged(f"entry {shown(entry.name)} overlaps another one")
