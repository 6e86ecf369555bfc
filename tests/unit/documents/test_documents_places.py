"""Shapes of places, masks of bits and whole numbers: what the database would fail at is refused before."""

from __future__ import annotations

import math
from typing import Any

import pytest

from runtime.documents.errors import BAD_VALUE, DatabaseError
from runtime.documents.operators import OperatorLimits, check_command
from runtime.messages.documents import DocumentCommand
from tests.unit.documents.document_commands_support import aggregate, find, update

LIMITS = OperatorLimits()
POINT = {"type": "Point", "coordinates": [1, 2.5]}
RING = [[0, 0], [0, 1], [1, 1], [0, 0]]
FAR = {"type": "name", "properties": {"name": "urn:x-mongodb:crs:strictwinding:EPSG:4326"}}


def geometry(kind: Any, coordinates: Any) -> DocumentCommand:
    return find(
        {"at": {"$geoIntersects": {"$geometry": {"type": kind, "coordinates": coordinates}}}}
    )


def place(operator: str, value: Any) -> DocumentCommand:
    return find({"at": {operator: value}})


ALLOWED = [
    geometry("Point", [1, 2]),
    geometry("Point", [1, 2, 300]),
    geometry("MultiPoint", [[1, 2], [3, 4]]),
    geometry("LineString", [[1, 2], [3, 4]]),
    geometry("MultiLineString", [[[1, 2], [3, 4]]]),
    geometry("Polygon", [RING]),
    geometry("MultiPolygon", [[RING], [RING, RING]]),
    place("$geoWithin", {"$geometry": {"type": "Polygon", "coordinates": [RING], "crs": FAR}}),
    place("$geoWithin", {"$geometry": {"type": "GeometryCollection", "geometries": [POINT]}}),
    place("$geoWithin", {"$box": [[0, 0], [1, 1]]}),
    place("$geoWithin", {"$polygon": RING}),
    place("$geoWithin", {"$center": [[0, 0], 0]}),
    place("$geoWithin", {"$centerSphere": [{"lng": 0, "lat": 0}, 0.5]}),
    place("$near", [1, 2]),
    place("$near", {"x": 1, "y": 2}),
    place("$near", POINT),
    place("$nearSphere", {"$geometry": POINT, "$maxDistance": 5.5, "$minDistance": 0}),
    find({"at": {"$near": [1, 2], "$maxDistance": 0.1, "$minDistance": 0}}),
    find({"n": {"$bitsAllSet": 5, "$bitsAnySet": [0, 63], "$bitsAllClear": 5.0}}),
    find({"n": {"$bitsAnyClear": []}}),
    aggregate({"$limit": 2.0}, {"$skip": 2**53}),
    aggregate({"$bucketAuto": {"groupBy": "$n", "buckets": 4}}),
]


@pytest.mark.parametrize("command", ALLOWED, ids=lambda each: str(each.arguments)[:80])
def test_what_is_allowed(command: DocumentCommand) -> None:
    check_command(command, LIMITS)


NO_POSITIONS: list[Any] = [
    *(["a", "b"], [1], [1, None], [1, True], [1, math.nan], [math.inf, 1], [1, 10**400]),
]
NO_ARRAYS: list[Any] = [None, 1, "x", [], {}]
NO_KINDS: list[Any] = [None, 1, "point", "Circle", [], {}]
NO_AREAS: list[Any] = [None, 1, "x", [], {}, [1, 2]]
NO_NUMBERS: list[Any] = [None, "x", {}, True, ["x"], [[]]]

REFUSED: list[tuple[DocumentCommand, str]] = [
    *((geometry("Point", value), "position is two numbers") for value in NO_POSITIONS),
    *((geometry("Point", value), "coordinates") for value in NO_ARRAYS),
    *((geometry(kind, [1, 2]), "no type") for kind in NO_KINDS),
    (geometry("Polygon", RING), "coordinates"),
    (geometry("MultiPolygon", [RING]), "coordinates"),
    (geometry("LineString", [[1, 2], {"$x": 1}]), "two numbers"),
    (place("$geoWithin", {"$geometry": 1}), "type and coordinates"),
    (place("$geoIntersects", {"$geometry": None}), "type and coordinates"),
    (place("$near", {"$geometry": {**POINT, "crs": {"$where": 1}}}), "$where"),
    (place("$geoWithin", {"$geometry": {"type": "GeometryCollection"}}), "geometries"),
    (place("$geoWithin", {"$geometry": {"type": "GeometryCollection", "geometries": [1]}}), "type"),
    *((place("$geoWithin", value), "object") for value in NO_AREAS),
    (place("$geoWithin", {"$box": 1}), "coordinates"),
    (place("$geoWithin", {"$polygon": [1]}), "coordinates"),
    (place("$geoWithin", {"$center": [[0, 0]]}), "radius"),
    (place("$geoWithin", {"$center": [[0, 0], "x"]}), "distance"),
    (place("$geoWithin", {"$centerSphere": [[0, 0], -1]}), "distance"),
    (place("$near", ["a", "b"]), "two numbers"),
    (place("$near", {"x": 1}), "two numbers"),
    (place("$near", {"$geometry": POINT, "$maxDistance": "x"}), "distance"),
    (place("$near", {"$geometry": POINT, "$minDistance": math.nan}), "distance"),
    (find({"at": {"$near": [1, 2], "$maxDistance": None}}), "distance"),
    *(
        (find({"n": {"$bitsAllSet": value}}), "whole number")
        for value in (0.5, math.nan, math.inf, 2**63, 1e19, [0.5], [1e300])
    ),
    *((find({"n": {"$bitsAnySet": value}}), "number") for value in NO_NUMBERS),
    *(
        (find({"n": {"$bitsAllClear": value}}), "not negative")
        for value in (-1, [-1], [1001], [1e18])
    ),
    *(
        (aggregate(stage), "whole number")
        for value in (math.nan, math.inf, -math.inf, 0.5, 1e300, 10**400)
        for stage in ({"$limit": value}, {"$skip": value}, {"$sample": {"size": value}})
    ),
    (update({"$bit": {"n": {"and": 1.5}}}), "whole number"),
]


@pytest.mark.parametrize(
    ("command", "named"), REFUSED, ids=[str(row[0].arguments)[:80] for row in REFUSED]
)
def test_what_is_refused(command: DocumentCommand, named: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        check_command(command, LIMITS)
    assert refused.value.number == BAD_VALUE
    assert named in refused.value.reason


def test_a_collection_of_collections_is_bounded_by_the_depth_of_commands() -> None:
    nested: Any = POINT
    for _ in range(1000):
        nested = {"type": "GeometryCollection", "geometries": [nested]}
    with pytest.raises(DatabaseError, match="deeper"):
        check_command(place("$geoWithin", {"$geometry": nested}), LIMITS)
