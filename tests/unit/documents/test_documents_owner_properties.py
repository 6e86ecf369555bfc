"""Commands under owner rules against a collection in memory that holds only what the caller may see."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.documents.expressions import Owners
from runtime.documents.hidden import OWNER_FIELD
from runtime.documents.owner import PermissionDeniedError, under_decision, without_owner
from runtime.documents.rules import ALLOW, Decision
from runtime.messages import DocumentCommand, Verb
from tests.unit.documents.documents_model import Collection, Document, DuplicateIdError

ME = "me"
MINE = Decision(Owners(frozenset({ME})))

numbers = st.integers(0, 3)
ids = st.sampled_from(["d0", "d1", "d2", "d3", "d4", "new"])
plain_documents = st.fixed_dictionaries({}, optional={"a": numbers, "b": numbers})
collections = st.lists(
    st.tuples(plain_documents, st.sampled_from([ME, "foe", "other", None])), max_size=5
).map(
    lambda many: [
        {"_id": f"d{number}", **document, **({} if owner is None else {OWNER_FIELD: owner})}
        for number, (document, owner) in enumerate(many)
    ]
)
fields = st.dictionaries(
    st.sampled_from(["a", "b"]),
    numbers
    | st.fixed_dictionaries({"$gt": numbers})
    | st.fixed_dictionaries({"$in": st.lists(numbers, max_size=2)})
    | st.fixed_dictionaries({"$exists": st.booleans()}),
    max_size=2,
) | st.fixed_dictionaries({"_id": ids})
filters = st.recursive(
    fields,
    lambda inner: st.dictionaries(
        st.sampled_from(["$and", "$or", "$nor"]),
        st.lists(inner, min_size=1, max_size=2),
        max_size=2,
    ),
    max_leaves=4,
)
decisions = st.builds(
    lambda named, but: Decision(Owners(frozenset(named), but)),
    st.sets(st.sampled_from([ME, "foe", "unheard of", None])),
    st.booleans(),
).filter(lambda decision: not decision.refused)

updates = st.sampled_from(
    [
        {"$set": {"a": 9}},
        {"$inc": {"a": 1}, "$unset": {"b": ""}},
        {"$setOnInsert": {"b": 7}, "$set": {"a": 8}},
        {"$rename": {"a": "b"}},
    ]
)
replacements = plain_documents | st.builds(
    lambda document, identity: {"_id": identity, **document}, plain_documents, ids
)
all_fields = {"$project": {"all": {"$objectToArray": "$$ROOT"}}}
stages = st.one_of(
    filters.map(lambda each: {"$match": each}),
    st.sampled_from([{"$sort": {"a": 1}}, {"$sort": {"b": -1}}]),
    st.integers(1, 3).map(lambda each: {"$limit": each}),
    st.integers(0, 2).map(lambda each: {"$skip": each}),
)


def visible(documents: list[Document], decision: Decision) -> list[Document]:
    return [each for each in documents if each.get(OWNER_FIELD) in decision.owners]


def make(verb: Verb, upsert: bool = False, **arguments: Any) -> DocumentCommand:
    options = {"upsert": True} if upsert else {}
    return DocumentCommand(verb=verb, collection="c", arguments=arguments, options=options)


@settings(max_examples=80)
@given(collections, filters | st.none(), decisions)
def test_reads_see_only_what_is_let_through(
    documents: list[Document], condition: Any, decision: Decision
) -> None:
    query = {} if condition is None else {"query": condition}
    mine = Collection(without_owner(visible(documents, decision)))
    for verb in (Verb.FIND, Verb.FIND_ONE, Verb.COUNT, Verb.DISTINCT):
        extra = {"key": "a"} if verb is Verb.DISTINCT else {}
        command = DocumentCommand(verb=verb, collection="c", arguments={**query, **extra})
        answer = Collection(documents).run(under_decision(command, decision, ME))
        assert without_owner(answer) == mine.run(command)


@settings(max_examples=80)
@given(collections, st.lists(stages, max_size=4), decisions, st.booleans())
def test_pipelines_see_only_what_is_let_through_and_no_owner(
    documents: list[Document], front: list[Any], decision: Decision, faceted: bool
) -> None:
    rest = [{"$facet": {"f": [all_fields]}}] if faceted else [all_fields]
    command = make(Verb.AGGREGATE, pipeline=[*front, *rest])
    answer = Collection(documents).run(under_decision(command, decision, ME))
    assert OWNER_FIELD not in str(answer)
    assert answer == Collection(without_owner(visible(documents, decision))).run(command)


@settings(max_examples=60)
@given(collections, st.lists(stages, max_size=2), st.sampled_from(["text", "object", "lookup"]))
def test_joins_see_everybody_and_no_owner(
    documents: list[Document], inner: list[Any], kind: str
) -> None:
    join = {
        "text": {"$unionWith": "c"},
        "object": {"$unionWith": {"coll": "c", "pipeline": [*inner, all_fields]}},
        "lookup": {"$lookup": {"from": "c", "pipeline": [*inner, all_fields], "as": "found"}},
    }[kind]
    command = make(Verb.AGGREGATE, pipeline=[join, all_fields])
    answer = Collection(documents).run(under_decision(command, ALLOW, ME))
    assert OWNER_FIELD not in str(answer)
    assert answer == Collection(without_owner(documents)).run(command)


writes = st.one_of(
    st.builds(
        lambda verb, upsert, condition, update: make(
            verb, upsert, filter=condition, update=copy.deepcopy(update)
        ),
        st.sampled_from([Verb.UPDATE_ONE, Verb.UPDATE_MANY, Verb.FIND_ONE_AND_UPDATE]),
        st.booleans(),
        filters,
        updates,
    ),
    st.builds(
        lambda upsert, condition, document: make(
            Verb.REPLACE_ONE, upsert, filter=condition, doc=document
        ),
        st.booleans(),
        filters,
        replacements,
    ),
    st.builds(
        lambda upsert, condition, document: make(
            Verb.FIND_ONE_AND_REPLACE, upsert, filter=condition, replacement=document
        ),
        st.booleans(),
        filters,
        replacements,
    ),
    st.builds(
        lambda verb, condition: make(verb, filter=condition),
        st.sampled_from([Verb.DELETE_ONE, Verb.DELETE_MANY, Verb.FIND_ONE_AND_DELETE]),
        filters,
    ),
    replacements.map(lambda document: make(Verb.INSERT_ONE, doc=document)),
    st.lists(replacements, min_size=1, max_size=3).map(
        lambda documents: make(Verb.INSERT_MANY, docs=documents)
    ),
)


def moves_an_id(command: DocumentCommand) -> bool:
    """A replacement with an id of its own: the database refuses it unless it is the same (66)."""
    document = command.arguments.get("doc", command.arguments.get("replacement", {}))
    replaces = command.verb in {Verb.REPLACE_ONE, Verb.FIND_ONE_AND_REPLACE}
    return replaces and "_id" in document


@settings(max_examples=200)
@given(collections, writes.filter(lambda each: not moves_an_id(each)), decisions)
def test_writes_touch_only_what_is_let_through_and_keep_owners(
    documents: list[Document], command: DocumentCommand, decision: Decision
) -> None:
    store = Collection(documents)
    sees = Collection(without_owner(visible(documents, decision)))
    try:
        rewritten = under_decision(command, decision, ME)
    except PermissionDeniedError:
        assert ME not in decision.owners
        assert command.options or command.verb in {Verb.INSERT_ONE, Verb.INSERT_MANY}
        return
    before = {each["_id"]: each for each in documents}
    closed = [each for each in documents if each not in visible(documents, decision)]
    try:
        answer = store.run(rewritten)
    except DuplicateIdError:
        pass
    else:
        assert answer == sees.run(command)
    after = {each["_id"]: each for each in store.documents}
    for each in closed:
        assert after[each["_id"]] == each
    for identity, each in after.items():
        expected = before[identity].get(OWNER_FIELD) if identity in before else ME
        assert each.get(OWNER_FIELD) == expected
        assert without_owner(each).keys() <= {"_id", "a", "b"}


@settings(max_examples=80)
@given(collections, writes.filter(lambda each: not moves_an_id(each)))
def test_functions_keep_owners_and_make_documents_of_nobody(
    documents: list[Document], command: DocumentCommand
) -> None:
    store, plain = Collection(documents), Collection(without_owner(documents))
    refused = [False, False]
    for number, (collection, run) in enumerate(
        [(store, under_decision(command, ALLOW, None)), (plain, command)]
    ):
        try:
            collection.run(run)
        except DuplicateIdError:
            refused[number] = True
    assert refused[0] is refused[1]
    assert without_owner(store.documents) == plain.documents
    owners = {each["_id"]: each.get(OWNER_FIELD) for each in documents}
    for each in store.documents:
        assert each.get(OWNER_FIELD) == owners.get(each["_id"])


@given(
    st.recursive(
        st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["a", OWNER_FIELD]), inner)
        ),
    )
)
def test_answers_show_no_owner(value: Any) -> None:
    kept = copy.deepcopy(value)
    assert OWNER_FIELD not in str(without_owner(value))
    assert value == kept
    assert without_owner(without_owner(value)) == without_owner(value)
