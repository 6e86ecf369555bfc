"""What operators of places may hold: shapes of the sphere (GeoJSON) and the plane, of finite numbers.

`walk.shape` was asked before, which bounds the recursion."""

from __future__ import annotations

import math
from typing import Any, Final

from runtime.documents.names import shown
from runtime.documents.walk import Walk

_SHAPES: Final = frozenset(
    {"$geometry", "$box", "$polygon", "$center", "$centerSphere", "$maxDistance", "$minDistance"}
)
_DISTANCES: Final = frozenset({"$maxDistance", "$minDistance"})
_LEVELS: Final = {
    "Point": 1,
    "MultiPoint": 2,
    "LineString": 2,
    "MultiLineString": 3,
    "Polygon": 3,
    "MultiPolygon": 4,
}
"""Of arrays within each other in the coordinates of a type; the innermost ones are positions."""
_COLLECTION: Final = "GeometryCollection"


def check_near(walk: Walk, value: Any, where: str) -> None:
    """The argument of `$near` and `$nearSphere`: that of `check_area`, or a position alone."""
    if isinstance(value, list):
        _coordinates(walk, value, 1, where)
    else:
        check_area(walk, value, where)


def check_area(walk: Walk, value: Any, where: str) -> None:
    """The argument of `$geoWithin` and `$geoIntersects`."""
    if not isinstance(value, dict) or not value:
        raise walk.error(f"{where} must be an object with a shape such as $geometry")
    if any(key.startswith("$") for key in value):
        for key, each in value.items():
            _check_shape(walk, key, each, where)
    elif "coordinates" in value:
        check_geometry(walk, value, where)
    else:  # {x: 1, y: 2}
        _coordinates(walk, list(value.values()), 1, where)


def check_geometry(walk: Walk, value: Any, where: str) -> None:
    """GeoJSON; `crs` may stand beside it."""
    if not isinstance(value, dict):
        raise walk.error(f"{where} must be an object with type and coordinates")
    kind = value.get("type")
    if kind == _COLLECTION:
        geometries = value.get("geometries")
        if not isinstance(geometries, list):
            raise walk.error(f"{where}: {_COLLECTION} needs the array geometries")
        for each in geometries:
            check_geometry(walk, each, where)
    elif isinstance(kind, str) and kind in _LEVELS:
        _coordinates(walk, value.get("coordinates"), _LEVELS[kind], where)
    else:
        given = shown(kind) if isinstance(kind, str) else "that"
        raise walk.error(f"{where}: {given} is no type of a geometry")
    walk.stored(value, where)


def _check_shape(walk: Walk, key: str, value: Any, where: str) -> None:
    if key.startswith("$") and key not in _SHAPES:
        raise walk.unknown(key, where)
    if key == "$geometry":
        check_geometry(walk, value, f"$geometry of {where}")
    elif key in _DISTANCES:
        check_distance(walk, value, f"{key} of {where}")
    elif key in ("$box", "$polygon"):
        _coordinates(walk, value, 2, f"{key} of {where}")
    elif key.startswith("$center"):
        _check_circle(walk, value, f"{key} of {where}")
    else:
        walk.stored(value, where)


def _check_circle(walk: Walk, value: Any, where: str) -> None:
    if not isinstance(value, list) or len(value) != 2:
        raise walk.error(f"{where} needs a centre and a radius")
    _coordinates(walk, value[0], 1, where)
    check_distance(walk, value[1], where)


def check_distance(walk: Walk, value: Any, where: str) -> None:
    """A number from 0 up."""
    if not _is_finite(value) or value < 0:
        raise walk.error(f"{where}: a distance is a number that is not negative")


def _coordinates(walk: Walk, value: Any, levels: int, where: str) -> None:
    if isinstance(value, dict) and levels == 1:  # {lng: 1, lat: 2} of older data
        value = list(value.values())
    if not isinstance(value, list) or not value:
        raise walk.error(f"{where} needs coordinates, arrays of numbers")
    if levels > 1:
        for each in value:
            _coordinates(walk, each, levels - 1, where)
    elif len(value) < 2 or not all(_is_finite(each) for each in value):
        raise walk.error(f"{where}: a position is two numbers")


def _is_finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond any double
        return False
