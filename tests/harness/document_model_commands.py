"""Random commands of what the model of a collection knows, as hypothesis strategies.

What MongoDB leaves open is not asked: which documents come first without a `sort`, where a command takes only
some of several; so every such sort ends with `_id`, and filters of commands without one look at an `_id` by
equality only, where no index changes the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

Params = dict[str, Any]
Strategy = st.SearchStrategy[Any]

OBJECT_IDS = ("5f00000000000000000000a1", "5f00000000000000000000b2")
IDS: Sequence[Any] = ("d0", "d1", "d2", "d3", 1, 2, OBJECT_IDS[0], OBJECT_IDS[1])

DATES = ("1970-01-01T00:00:00.000Z", "2026-02-28T23:59:59.999Z")

numbers = st.sampled_from([0, 1, 2, 3, -1, 0.5, 1.0, 2.5])
texts = st.sampled_from(["", "a", "b", "函", "5"])
scalars = st.one_of(numbers, texts, st.sampled_from([None, True, False, *DATES]))
small_documents = st.dictionaries(st.sampled_from(["x", "y"]), scalars, max_size=2)
arrays = st.lists(
    st.one_of(scalars, numbers, small_documents, st.lists(numbers, max_size=2)), max_size=3
)
values = st.one_of(scalars, small_documents, arrays)
ids = st.sampled_from(IDS)

PATHS = ("n", "t", "a", "s", "s.x", "s.y", "a.x")
paths = st.sampled_from(PATHS)

fields = st.fixed_dictionaries(
    {},
    optional={
        "n": numbers | scalars,
        "t": texts | scalars,
        "a": arrays | scalars,
        "s": small_documents | st.lists(small_documents, max_size=2) | scalars,
    },
)
documents_with_id = st.builds(lambda identity, rest: {"_id": identity, **rest}, ids, fields)
documents = documents_with_id | documents_with_id | fields


# Filters

_OPERATORS: dict[str, Strategy] = {
    **dict.fromkeys(("$eq", "$ne"), values),
    **dict.fromkeys(("$gt", "$gte", "$lt", "$lte"), values),
    **dict.fromkeys(("$in", "$nin"), st.lists(values, max_size=3)),
    "$all": st.lists(scalars, max_size=2),
    "$exists": st.booleans(),
    "$size": st.integers(0, 3),
    "$type": st.sampled_from(["null", "number", "string", "object", "array", "bool", "date"]),
}
_ITEM_OPERATORS = ("$eq", "$gt", "$gte", "$lt", "$lte", "$in")
_element_conditions = st.fixed_dictionaries(
    {}, optional={name: _OPERATORS[name] for name in _ITEM_OPERATORS}
).filter(bool) | st.dictionaries(
    st.sampled_from(["x", "y"]),
    scalars | st.fixed_dictionaries({"$gt": scalars}),
    min_size=1,
    max_size=2,
)
_operator = st.sampled_from(sorted(_OPERATORS)).flatmap(
    lambda name: _OPERATORS[name].map(lambda operand: {name: operand})
)
_operators = st.one_of(
    _operator,
    st.builds(lambda one, other: {**one, **other}, _operator, _operator),
    _operator.map(lambda each: {"$not": each}),
    _element_conditions.map(lambda each: {"$elemMatch": each}),
)
_conditions = st.one_of(values, _operators, _operators)
_field_filters = st.dictionaries(paths, _conditions, max_size=2)


def _logical(inner: Strategy) -> Strategy:
    several = st.lists(inner, min_size=1, max_size=2)
    return st.builds(
        lambda name, branches, rest: {**rest, name: branches},
        st.sampled_from(["$and", "$or", "$nor"]),
        several,
        inner,
    )


_plain = st.recursive(_field_filters, _logical, max_leaves=4)
_by_id = st.builds(lambda identity, rest: {**rest, "_id": identity}, ids, _field_filters)
_by_ids = st.builds(
    lambda condition, rest: {"_id": condition, **rest},
    st.one_of(
        st.lists(ids, max_size=3).map(lambda each: {"$in": each}),
        ids.map(lambda each: {"$ne": each}),
        ids.map(lambda each: {"$gt": each}),
    ),
    _field_filters,
)
exact = ids.map(lambda identity: {"_id": identity})
filters = st.one_of(st.just({}), _plain, _plain, _by_id, exact)
"""For commands that may take the first of several without a sort."""
sorted_filters = filters | _by_ids
"""For commands that take all, or sort."""


# Options

# Not by `s.x`: the embedded server passes over items of an array that have no x, which count as null.
sorts = st.builds(
    lambda path, direction, last: {**({path: direction} if path else {}), "_id": last},
    st.sampled_from(["n", "t", "a", "s", ""]),
    st.sampled_from([1, -1]),
    st.sampled_from([1, -1]),
)
_projected = st.sets(st.sampled_from(["n", "t", "a", "s.x"]), min_size=1).map(sorted)
_included = _projected.map(lambda paths: dict.fromkeys(paths, 1))
_excluded = _projected.map(lambda paths: dict.fromkeys(paths, 0))
projections = st.one_of(
    _included,
    _excluded,
    st.builds(
        lambda fields, identity: {**fields, "_id": identity}, _included, st.sampled_from([0, 1])
    ),
    _excluded.map(lambda fields: {**fields, "_id": 0}),
    st.just({"_id": 1}),
    st.just({"_id": 0}),
)
_pages = st.fixed_dictionaries(
    {"skip": st.sampled_from([1, 0, 2])}, optional={"limit": st.integers(0, 3)}
)


def _options(required: dict[str, Strategy], **optional: Strategy) -> Strategy:
    return st.fixed_dictionaries(required, optional=optional)


# Updates

_top = st.sampled_from(["n", "t", "a", "s"])
_set_paths = st.sampled_from(["n", "t", "a", "s", "s.x", "s.y", "s.z.w", "a.0", "a.2"])
_number_paths = st.sampled_from(["n", "n", "n", "s.x", "t"])
_array_paths = st.sampled_from(["a", "a", "a", "s", "n"])


@st.composite
def _pushes(draw: st.DrawFn) -> Any:
    if draw(st.booleans()):
        return draw(scalars | small_documents)
    push: Params = {"$each": draw(st.lists(scalars | small_documents, min_size=1, max_size=3))}
    if draw(st.booleans()):
        push["$position"] = draw(st.integers(-2, 3))
    if draw(st.booleans()):
        push["$sort"] = draw(st.sampled_from([1, -1]))
    if draw(st.booleans()):
        push["$slice"] = draw(st.sampled_from([-3, -2, -1, 1, 2, 3]))
    return push


_UPDATES: dict[str, Strategy] = {
    "$set": st.dictionaries(_set_paths, values, min_size=1, max_size=2),
    "$setOnInsert": st.dictionaries(st.sampled_from(["t", "u"]), values, min_size=1, max_size=1),
    "$unset": st.dictionaries(_set_paths, st.just(""), min_size=1, max_size=2),
    "$inc": st.dictionaries(_number_paths, numbers, min_size=1, max_size=1),
    "$mul": st.dictionaries(_number_paths, numbers, min_size=1, max_size=1),
    "$min": st.dictionaries(_set_paths, scalars, min_size=1, max_size=1),
    "$max": st.dictionaries(_set_paths, scalars, min_size=1, max_size=1),
    "$push": st.dictionaries(_array_paths, _pushes(), min_size=1, max_size=1),
    "$addToSet": st.dictionaries(
        _array_paths,
        scalars | small_documents | st.lists(scalars, max_size=2).map(lambda each: {"$each": each}),
        min_size=1,
        max_size=1,
    ),
    "$pull": st.dictionaries(
        _array_paths, scalars | small_documents | _element_conditions, min_size=1, max_size=1
    ),
    "$pop": st.dictionaries(_array_paths, st.sampled_from([1, -1]), min_size=1, max_size=1),
    "$rename": st.sampled_from([{"n": "u"}, {"u": "n"}, {"a": "t"}, {"s": "u"}]),
}
_update = st.sampled_from(sorted(_UPDATES)).flatmap(
    lambda name: _UPDATES[name].map(lambda operand: {name: operand})
)
updates = st.one_of(
    _update, _update, st.builds(lambda one, other: {**one, **other}, _update, _update)
)

_upsert_filters = exact | st.builds(
    lambda identity, rest: {"_id": identity, **rest},
    ids,
    st.fixed_dictionaries({}, optional={"n": numbers, "t": st.fixed_dictionaries({"$gt": texts})}),
)
_upserts_anew = st.fixed_dictionaries(
    {"u": st.sampled_from(["new", "newer"])},
    optional={"n": st.fixed_dictionaries({"$gte": numbers})},
)


# Pipelines

_unwinds = st.builds(
    lambda field, more: {"path": f"${field}", **more},
    st.sampled_from(["a", "s", "n"]),
    st.fixed_dictionaries(
        {},
        optional={"preserveNullAndEmptyArrays": st.booleans(), "includeArrayIndex": st.just("i")},
    ),
)
_group_ids: Strategy = st.sampled_from(
    [None, "$t", "$n", "$a", "$s", "$s.x", {"x": "$s.x", "n": "$n"}]
)
_accumulators = st.builds(
    lambda name, path: {name: path},
    st.sampled_from(["$sum", "$avg", "$min", "$max"]),
    st.sampled_from(["$n", "$t", "$s.x"]),
) | st.just({"$sum": 1})
_groups = st.builds(
    lambda identity, total: {"_id": identity, "total": total, "members": {"$sum": 1}},
    _group_ids,
    _accumulators,
)
_computed = st.builds(
    lambda path, fields: {**fields, "made": path},
    st.sampled_from(["$n", "$s.x", "$a", "$a.x"]),
    _included,
)


@st.composite
def pipelines(draw: st.DrawFn) -> Any:
    """Stages in an order in which every result is determined."""
    stages: list[Any] = [{"$match": draw(sorted_filters)}] if draw(st.booleans()) else []
    if draw(st.booleans()):
        stages.append({"$sort": draw(sorts)})
        stages += [{"$skip": each} for each in draw(st.lists(st.integers(0, 2), max_size=1))]
        stages += [{"$limit": each} for each in draw(st.lists(st.integers(1, 3), max_size=1))]
    if draw(st.booleans()):
        stages.append({"$unwind": draw(_unwinds)})
    last = st.one_of(
        st.just([]),
        _groups.map(lambda each: [{"$group": each}]),
        projections.map(lambda each: [{"$project": each}]),
        _computed.map(lambda each: [{"$project": each}]),
        _plain.map(lambda each: [{"$match": each}]),
        _plain.map(lambda each: [{"$match": each}, {"$count": "n"}]),
    )
    return [*stages, *draw(last)]


# Commands

_no_options: Strategy = st.just({})


def _command(name: str, options: Strategy = _no_options, **arguments: Strategy) -> Strategy:
    return st.fixed_dictionaries({**arguments, "options": options, "command": st.just(name)})


def _short(strategy: Strategy) -> Strategy:
    """The same. Hypothesis prints the strategies of rules, and warns of those that are long."""
    return st.just(None).flatmap(lambda _: strategy)


_and_options = {"sort": sorts}
_upsert: dict[str, Strategy] = {"upsert": st.just(True)}

inserts = _command("insertOne", doc=documents)
reads_of_one = _command(
    "findOne", _options({"sort": sorts}, projection=projections), query=sorted_filters
)
writes_of_one = st.one_of(
    _command("updateOne", filter=filters, update=updates),
    _command(
        "updateOne", _options(_upsert), filter=_upsert_filters | _upserts_anew, update=updates
    ),
    _command("replaceOne", filter=filters, doc=fields | documents_with_id),
    _command(
        "replaceOne",
        _options(_upsert),
        filter=exact | _upserts_anew,
        doc=fields | documents_with_id,
    ),
    _command(
        "findOneAndUpdate",
        _options(_and_options, projection=projections, returnNewDocument=st.booleans()),
        filter=sorted_filters,
        update=updates,
    ),
    _command(
        "findOneAndUpdate",
        _options(
            {**_and_options, **_upsert}, projection=projections, returnNewDocument=st.booleans()
        ),
        filter=_upsert_filters,
        update=updates,
    ),
    _command(
        "findOneAndReplace",
        _options(_and_options, projection=projections),
        filter=sorted_filters,
        replacement=fields | documents_with_id,
    ),
    _command(
        "findOneAndReplace",
        _options({**_and_options, **_upsert}, projection=projections),
        filter=exact,
        replacement=fields,
    ),
    _command(
        "findOneAndDelete", _options(_and_options, projection=projections), filter=sorted_filters
    ),
    _command("deleteOne", filter=filters),
)
in_transaction = _short(st.one_of(inserts, inserts, reads_of_one, writes_of_one, writes_of_one))
"""Those that the spec allows inside a transaction."""
writes_of_exactly_one = _short(
    st.one_of(
        _command("updateOne", filter=exact, update=updates),
        _command("updateOne", _options(_upsert), filter=exact, update=updates),
        _command("replaceOne", filter=exact, doc=fields),
        _command("replaceOne", _options(_upsert), filter=exact, doc=fields),
        _command("deleteOne", filter=exact),
    )
)
"""Of a document that its filter names."""

reads = _short(
    st.one_of(
        reads_of_one,
        _command("find", _options({"sort": sorts}, projection=projections), query=sorted_filters),
        _command(
            "find",
            st.builds(lambda sort, page: {"sort": sort, **page}, sorts, _pages),
            query=sorted_filters,
        ),
        _command("find", _options({}, projection=projections), query=sorted_filters),
        _command("count", _pages, query=sorted_filters),
        _command("distinct", key=paths, query=sorted_filters),
        _command("aggregate", pipeline=pipelines()),
    )
)
insert_many = _command("insertMany", docs=st.lists(documents, min_size=1, max_size=4))
writes_of_many = st.one_of(
    insert_many,
    _command("updateMany", filter=filters, update=updates),
    _command(
        "updateMany", _options(_upsert), filter=_upsert_filters | _upserts_anew, update=updates
    ),
    _command("deleteMany", filter=_plain | _by_id),
)
commands = _short(st.one_of(inserts, reads, reads, writes_of_one, writes_of_one, writes_of_many))
