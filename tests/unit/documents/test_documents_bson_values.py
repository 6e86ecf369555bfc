"""Values of commands to BSON and back, without a server."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson.objectid import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.space_documents.arguments import bson_command
from runtime.backends.space_documents.conditions import bson_filter, bson_pipeline
from runtime.backends.space_documents.values import CODEC, bson_document, bson_value, json_value
from runtime.documents.errors import DatabaseError
from runtime.messages import CommandBounds, DocumentCommand, Verb

_ID = "5f00000000000000000000a1"
_OID = ObjectId(_ID)

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_keys = _texts.filter(lambda key: "\0" not in key and not key.startswith("$"))
_dates = st.datetimes().map(lambda date: date.isoformat(timespec="milliseconds") + "Z")
_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _texts
    | _dates
    | st.from_regex(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z", fullmatch=True
    )
    | st.from_regex(r"[0-9a-f]{24}", fullmatch=True)
)
_values = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4)
)


@given(st.dictionaries(_keys, _values, max_size=5), st.sampled_from([_ID, "word", 1, None]))
def test_json_comes_back(document: dict[str, Any], given_id: Any) -> None:
    document = {**document, "_id": given_id}
    encoded = bson.encode(bson_document(document), codec_options=CODEC)
    assert json_value(bson.decode(encoded, CODEC)) == document


@pytest.mark.parametrize("year", ["0000", "0001", "0400", "1600", "1970", "2000", "9999"])
def test_dates_of_all_years(year: str) -> None:
    for rest in ("-01-01T00:00:00.000Z", "-02-28T23:59:59.999Z", "-12-31T23:59:59.999Z"):
        made = bson_value(year + rest)
        assert not isinstance(made, str)
        encoded = bson.encode({"d": made}, codec_options=CODEC)
        assert json_value(bson.decode(encoded, CODEC)) == {"d": year + rest}


@pytest.mark.parametrize(
    "text",
    [
        "2020-01-01T00:00:00Z",
        "2020-01-01T00:00:00.000+00:00",
        "2020-02-30T00:00:00.000Z",
        "2020-01-01T24:00:00.000Z",
        "2020-01-01t00:00:00.000Z",
        " 020-01-01T00:00:00.000Z",
        "\uff12020-01-01T00:00:00.000Z",
        "2020-01-01T00:00:00.000Z\n",
    ],
)
def test_what_only_looks_like_a_date(text: str) -> None:
    assert bson_value(text) == text


def test_numbers_beyond_64_bits_are_doubles() -> None:
    assert bson_value([2**63 - 1, 2**63, -(2**63), -(2**63) - 1]) == [
        2**63 - 1,
        float(2**63),
        -(2**63),
        -float(2**63),
    ]
    assert type(bson_value(2**63)) is float
    with pytest.raises(DatabaseError):
        bson_value({"n": [10**400]})


@pytest.mark.parametrize(
    ("given_filter", "made"),
    [
        ({"_id": _ID}, {"_id": _OID}),
        ({"_id": {"$in": [_ID, "w"]}}, {"_id": {"$in": [_OID, "w"]}}),
        ({"_id": {"$not": {"$gte": _ID}}}, {"_id": {"$not": {"$gte": _OID}}}),
        ({"$or": [{"$nor": [{"_id": _ID}]}]}, {"$or": [{"$nor": [{"_id": _OID}]}]}),
        ({"ref": _ID, "a._id": _ID}, {"ref": _ID, "a._id": _ID}),
        ({"_id": {"x": _ID}}, {"_id": {"x": _ID}}),
        ({"a": {"$elemMatch": {"_id": _ID}}}, {"a": {"$elemMatch": {"_id": _ID}}}),
        ({"_id": {"$regex": _ID}}, {"_id": {"$regex": _ID}}),
        ({"$expr": {"$ne": ["$_id", _ID]}}, {"$expr": {"$ne": ["$_id", _OID]}}),
        ({"$expr": {"$ne": ["$ref", _ID]}}, {"$expr": {"$ne": ["$ref", _ID]}}),
    ],
)
def test_ids_in_filters(given_filter: dict[str, Any], made: dict[str, Any]) -> None:
    assert bson_filter(given_filter) == made


def test_ids_later_in_a_pipeline_are_either() -> None:
    match = {"$match": {"_id": _ID, "u._id": {"$ne": _ID}, "ref": _ID}}
    early = {"$match": {"_id": _OID, "u._id": {"$ne": _ID}, "ref": _ID}}
    late = {"$match": {"_id": {"$in": [_OID, _ID]}, "u._id": {"$nin": [_OID, _ID]}, "ref": _ID}}
    keep: list[Any] = [{"$sort": {"a": 1}}, {"$project": {"_id": 0}}, {"$set": {"a": "$b"}}]
    make: list[Any] = [{"$group": {"_id": "$a"}}, {"$replaceWith": "$a"}, {"$set": {"_id": "$b"}}]
    for stage in keep:
        assert bson_pipeline([match, stage, match]) == [early, stage, early]
    for stage in make:
        assert bson_pipeline([match, stage, match]) == [early, stage, late]


@pytest.mark.parametrize(
    "stage",
    [
        {"$out": {"db": "admin", "coll": "x"}},
        {"$merge": {"into": {"db": "admin", "coll": "x"}}},
        {"$lookup": {"from": {"db": "admin", "coll": "x"}, "as": "x", "pipeline": []}},
        {"$facet": {"a": [{"$unionWith": {"coll": {"db": "admin", "coll": "x"}}}]}},
        {"$lookup": {"from": "x", "as": "x", "pipeline": [{"$out": {"db": "a", "coll": "x"}}]}},
    ],
)
def test_no_stage_leads_to_another_database(stage: dict[str, Any]) -> None:
    command = DocumentCommand(verb=Verb.AGGREGATE, collection="a", arguments={"pipeline": [stage]})
    with pytest.raises(DatabaseError) as caught:
        bson_command(command, CommandBounds(documents=1, answer_bytes=1, time_ms=1))
    assert caught.value.number == 73
