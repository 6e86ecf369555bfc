"""Reading upload forms: whatever comes, in whatever pieces, under bounds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator

import pytest

from runtime.errors import CallerError
from runtime.gateway.files.form_fields import (
    FIELD_MAX_BYTES,
    FIELDS_MAX,
    UploadForm,
    read_fields,
)
from runtime.gateway.files.multipart import (
    PART_HEAD_MAX,
    PREAMBLE_MAX,
    FormError,
    MultipartReader,
    boundary_of,
)
from runtime.gateway.files.parameters import parameter_of

B = b"xx"


class Pieces:
    """A body that comes in pieces of these sizes, then in pieces of the last one."""

    def __init__(self, body: bytes, *sizes: int) -> None:
        self._body = body
        self._sizes: Iterator[int] = iter(sizes)
        self._size = 1 << 16

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        self._size = next(self._sizes, self._size)
        piece, self._body = self._body[: self._size], self._body[self._size :]
        if not piece:
            raise StopAsyncIteration
        return piece


def part(name: str, value: bytes, *lines: str) -> bytes:
    head = "\r\n".join((f'Content-Disposition: form-data; name="{name}"', *lines))
    return b"--xx\r\n" + head.encode() + b"\r\n\r\n" + value + b"\r\n"


async def read(body: bytes, *sizes: int) -> tuple[UploadForm, bytes]:
    parts = MultipartReader(Pieces(body, *sizes), B)
    form = await read_fields(parts, timeout_s=30)
    data = b"".join([piece async for piece in parts.data()])
    await parts.skip_rest(100)
    return form, data


async def refused(body: bytes) -> FormError:
    with pytest.raises(FormError) as caught:
        await read(body)
    return caught.value


FILE = part("file", b"\x00\xff\r\n--x\r\n", "Content-Type: image/png")
WHOLE = part("key", "a/中文.png".encode()) + part("policy", b"") + FILE + b"--xx--\r\n"


async def test_fields_and_file_whatever_the_pieces() -> None:
    draw = random.Random(7)
    cuts = [[1], [2], [3], [len(WHOLE)], *([draw.randint(1, 40) for _ in WHOLE] for _ in range(40))]
    for sizes in cuts:
        form, data = await read(WHOLE, *sizes)
        assert form == UploadForm(fields={"key": "a/中文.png", "policy": ""}, file_type="image/png")
        assert data == b"\x00\xff\r\n--x\r\n"


async def test_what_other_senders_write() -> None:
    body = (
        b'a preamble\r\n--xx \t\r\ncontent-disposition:form-data;name=key;filename="a"\r\n'
        b"Content-Transfer-Encoding: binary\r\n\r\nv\r\n" + part("file", b"") + b"--xx--"
    )
    form, data = await read(body)
    assert (form.fields, form.file_type, data) == ({"key": "v"}, "", b"")


async def test_what_follows_the_file_is_ignored_under_a_bound() -> None:
    late = part("key", b"other")
    form, data = await read(FILE + late + b"--xx--\r\n")
    assert (form.fields, len(data)) == ({}, 9)
    assert "follow the file" in (await refused(FILE + b"--xx--" + b"x" * 101)).message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--",
        b"--xx",
        b"--xx--",
        b"--xx--\r\n",
        b"--xx\r\n",
        b"--xx\r\n\r\n",
        b"--xx\r\n\r\n\r\n--xx--",
        b"--xxx\r\n" + WHOLE[6:],
        WHOLE[:-8],  # the last boundary lacks
        part("key", b"v") + b"--xx--\r\n",
        part("key", b"v") + part("KEY", b"w") + FILE + b"--xx--",
        part("key", b"\xff") + FILE + b"--xx--",
        part("", b"v") + FILE + b"--xx--",
        part("key", b"v", "Content-Disposition: form-data; name=z") + FILE + b"--xx--",
        part("key", b"v", "no field") + FILE + b"--xx--",
        part("key", b"v", " folded: x") + FILE + b"--xx--",
        part("key", b"v", "Content-Transfer-Encoding: base64") + FILE + b"--xx--",
        part("file", b"v").replace(b"form-data", b"attachment") + b"--xx--",
        part("file", b"v").replace(b"name=", b"nom=") + b"--xx--",
        part("file", b"v").replace(b"name", b"\xff") + b"--xx--",
        b"x" * (PREAMBLE_MAX + 1) + b"\r\n" + WHOLE,
        part("key", b"x" * (FIELD_MAX_BYTES + 1)) + FILE + b"--xx--",
        part("key", b"v", "x: " + "y" * PART_HEAD_MAX) + FILE + b"--xx--",
        part("k" * 300, b"v") + FILE + b"--xx--",
        b"".join(part(f"k{n}", b"v") for n in range(FIELDS_MAX + 1)) + FILE + b"--xx--",
        b"".join(part(f"k{n}", b"v" * FIELD_MAX_BYTES) for n in range(5)) + FILE + b"--xx--",
    ],
)
async def test_what_is_no_upload_form(body: bytes) -> None:
    error = await refused(body)
    assert len(error.message) < 200


async def test_the_most_that_a_form_may_hold() -> None:
    fields = b"".join(part(f"k{n}", b"v" * 1000) for n in range(FIELDS_MAX))
    form, _ = await read(b"x" * (PREAMBLE_MAX - 2) + b"\r\n" + fields + FILE + b"--xx--")
    assert len(form.fields) == FIELDS_MAX


async def test_no_more_is_read_than_a_bound_allows() -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield part("key", b"")[:-2]
        while True:
            yield b"x" * 1000

    with pytest.raises(FormError, match="in a field"):
        await read_fields(MultipartReader(endless(), B), timeout_s=30)


async def test_fields_that_do_not_end_in_time() -> None:
    async def drip() -> AsyncIterator[bytes]:
        yield b"--xx\r\n"
        while True:
            await asyncio.sleep(0.001)
            yield b"x"

    with pytest.raises(CallerError) as caught:
        await read_fields(MultipartReader(drip(), B), timeout_s=0.02)
    assert caught.value.code == "RequestTimeout"


@pytest.mark.parametrize(
    ("field", "boundary"),
    [
        ("multipart/form-data; boundary=----a'b", b"----a'b"),
        ('Multipart/Form-Data;charset=utf-8; Boundary="a b;c"', b"a b;c"),
    ],
)
def test_the_boundary(field: str, boundary: bytes) -> None:
    assert boundary_of(field) == boundary


@pytest.mark.parametrize(
    "field",
    [
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/mixed; boundary=x",
        "text/plain; boundary=x",
        "multipart/form-data; boundary=" + "x" * 257,
        'multipart/form-data; boundary="a\nb"',
        "multipart/form-data; boundary=\udcff",
        "multipart/form-data, multipart/form-data; boundary=x",
    ],
)
def test_no_boundary(field: str) -> None:
    with pytest.raises(FormError):
        boundary_of(field)


def test_a_file_name_cannot_pose_as_another_parameter() -> None:
    assert parameter_of('form-data; filename="a; name=x"; name="file"', "name") == "file"
    assert parameter_of('form-data; filename="a\\"; name=\\"x"; name="file"', "name") == "file"
    assert parameter_of('form-data; name="a\\"b\\\\c"', "name") == 'a"b\\c'
    assert parameter_of('form-data; filename="a"b"; name="file"', "name") is None
    assert parameter_of('form-data; name="file"; filename="a"b"', "name") == "file"
