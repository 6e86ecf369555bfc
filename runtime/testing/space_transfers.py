"""What every `SpaceDocuments` adapter must keep of export and import."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import pytest

from runtime.documents.errors import DatabaseError
from runtime.messages import Verb
from runtime.ports import SpaceDocuments
from runtime.testing.document_cases.case import COLLECTION, DAY, ID
from runtime.testing.space_documents import SpaceCalls, SpaceDocumentsFixtures

_KINDS = [
    b'{"_id": {"$oid": "5f00000000000000000000a1"}, "d": {"$date": {"$numberLong": "1577836800000"}}}',
    b'{"_id": "text", "i": {"$numberInt": "1"}, "l": {"$numberLong": "1"}}',
    b'{"_id": {"$numberInt": "7"}, "f": {"$numberDouble": "1.0"}, "m": {"$numberDecimal": "1.10"}}',
    b'{"_id": {"$numberDouble": "7.5"}, "b": {"$binary": {"base64": "AAE=", "subType": "00"}}}',
    b'{"_id": null, "u": {"$binary": {"base64": "AAECAwQFBgcICQoLDA0ODw==", "subType": "04"}}}',
    b'{"_id": {"a": {"$numberInt": "1"}}, "t": {"$timestamp": {"t": 5, "i": 1}}}',
    b'{"_id": true, "r": {"$regularExpression": {"pattern": "a", "options": "i"}}}',
    b'{"_id": {"$date": {"$numberLong": "253402300799999"}}, "far": {"$minKey": 1}}',
    b'{"_id": {"$date": {"$numberLong": "-62135596800000"}}, "nan": {"$numberDouble": "NaN"}}',
    '{"_id": "云", "s": "a\\u0000b\\nc"}'.encode(),
]
_IN_ORDER = [4, 2, 3, 1, 9, 5, 0, 6, 8, 7]


async def _exported(space: SpaceCalls, after: str | None = None, most: int = 10**9) -> list[bytes]:
    lines: list[bytes] = []
    async with aclosing(
        space.documents.export(space.space_id, COLLECTION, after=after)  # type: ignore[type-var]
    ) as export:
        async for line in export:
            assert line.endswith(b"\n")
            assert line.count(b"\n") == 1
            lines.append(line)
            if len(lines) == most:
                break
    return lines


def _id(line: bytes) -> str:
    return json.dumps(json.loads(line)["_id"])


class SpaceTransfersContract(SpaceDocumentsFixtures):
    """Give what the fixtures ask for."""

    async def test_every_kind_of_value_comes_back(
        self, space: SpaceCalls, documents: SpaceDocuments
    ) -> None:
        assert await documents.load(space.space_id, COLLECTION, _KINDS) == len(_KINDS)
        lines = await _exported(space)
        expected = [json.loads(_KINDS[index]) for index in _IN_ORDER]
        assert [json.loads(line) for line in lines] == expected
        copy = SpaceCalls(documents, space.space_id + "-copy")
        await documents.load(copy.space_id, COLLECTION, lines)
        assert await _exported(copy) == lines

    async def test_dates_beyond_four_digits(
        self, space: SpaceCalls, wrong_here: Mapping[str, str], request: pytest.FixtureRequest
    ) -> None:
        if "dates beyond four digits" in wrong_here:
            reason = wrong_here["dates beyond four digits"]
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
        line = b'{"_id": 1, "d": [{"$date": {"$numberLong": "253402300800000"}}]}\n'
        before = line.replace(b"253402300800000", b"-62167219200001")
        for each, shown in ((line, "+010000-01-01"), (before, "-000001-12-31")):
            await space.documents.load(space.space_id, COLLECTION, [each])
            assert [json.loads(one) for one in await _exported(space)] == [json.loads(each)]
            (found,) = await space.all()
            assert found["d"][0].startswith(shown)

    async def test_every_kind_is_answered_as_json(self, space: SpaceCalls) -> None:
        await space.documents.load(space.space_id, COLLECTION, _KINDS)
        found = {json.dumps(each.pop("_id")): each for each in await space.all()}
        assert found == {
            f'"{ID}"': {"d": DAY},
            '"text"': {"i": 1, "l": 1},
            "7": {"f": 1.0, "m": "1.10"},
            "7.5": {"b": "AAE="},
            "null": {"u": "00010203-0405-0607-0809-0a0b0c0d0e0f"},
            '{"a": 1}': {"t": {"t": 5, "i": 1}},
            "true": {"r": "/a/i"},
            '"9999-12-31T23:59:59.999Z"': {"far": "MinKey"},
            '"0001-01-01T00:00:00.000Z"': {"nan": None},
            json.dumps("云"): {"s": "a\0b\nc"},
        }

    async def test_it_goes_on_after_any_document(self, space: SpaceCalls) -> None:
        await space.documents.load(space.space_id, COLLECTION, _KINDS)
        lines = await _exported(space)
        for index, line in enumerate(lines):
            assert await _exported(space, after=_id(line)) == lines[index + 1 :]

    async def test_many_documents(self, space: SpaceCalls) -> None:
        docs = [{"_id": i, "t": "x" * 500} for i in range(950)]
        await space.insert(*docs)
        lines = await _exported(space)
        assert [json.loads(line)["_id"]["$numberInt"] for line in lines] == [
            str(i) for i in range(950)
        ]
        first = await _exported(space, most=321)
        assert first + await _exported(space, after=_id(first[-1])) == lines

    async def test_what_the_sdks_wrote(self, space: SpaceCalls) -> None:
        await space.insert({"_id": ID, "d": DAY, "n": 1})
        (line,) = await _exported(space)
        assert json.loads(line) == {
            "_id": {"$oid": ID},
            "d": {"$date": {"$numberLong": "1577836800000"}},
            "n": {"$numberInt": "1"},
        }
        assert await _exported(space, after='{"$oid": "5f00000000000000000000a0"}') == [line]

    async def test_loading_replaces(self, space: SpaceCalls, documents: SpaceDocuments) -> None:
        await space.insert({"_id": "a", "old": 1}, {"_id": "b", "old": 1})
        lines = [
            b'{"_id": "a", "new": 2}',
            b'{"_id": "c", "d": {"$date": "2020-01-01T00:00:00Z"}}\n',
        ]
        for _ in range(2):
            assert await documents.load(space.space_id, COLLECTION, lines) == 2
            assert await space.all() == [
                {"_id": "a", "new": 2},
                {"_id": "b", "old": 1},
                {"_id": "c", "d": DAY},
            ]
        assert await documents.load(space.space_id, COLLECTION, []) == 0

    @pytest.mark.parametrize(
        "line",
        [
            b"",
            b"{",
            b"[]",
            b"1",
            b"\xff",
            b'{"a": 1}',
            b'{"_id": {"$oid": "zz"}}',
            b'{"_id": {"$date": 5, "x": 1}}',
            b'{"_id": 1, "$set": {}}',
            b'{"_id": 1, "n": 99999999999999999999}',
            b'{"_id": 1, "a": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        ],
    )
    async def test_what_is_no_document_is_refused(
        self, space: SpaceCalls, documents: SpaceDocuments, line: bytes
    ) -> None:
        with pytest.raises(DatabaseError):
            await documents.load(space.space_id, COLLECTION, [line])
        assert await space.all() == []

    async def test_the_first_refused_line_is_named(
        self, space: SpaceCalls, documents: SpaceDocuments
    ) -> None:
        await space.ask(Verb.CREATE_INDEX, {"field": "u"}, unique=True)
        lines: list[Any] = [b'{"_id": %d, "u": %d}' % (i, u) for i, u in ((1, 1), (2, 2), (3, 1))]
        with pytest.raises(DatabaseError) as caught:
            await documents.load(space.space_id, COLLECTION, lines)
        assert caught.value.number == 11000
        assert "item 2: " in caught.value.message
        assert "2 before it were written" in caught.value.message
        assert len(await space.all()) == 2

    async def test_an_unreadable_place_is_refused(self, space: SpaceCalls) -> None:
        with pytest.raises(DatabaseError):
            await _exported(space, after="{")

    async def test_an_empty_collection(self, space: SpaceCalls) -> None:
        assert await _exported(space) == []
