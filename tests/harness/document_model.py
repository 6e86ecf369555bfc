"""A plain model of one collection of a space: every command of the spec on documents in memory, with owners.

It answers what `services.documents` has to answer (spec: database commands §4, §5). It is written from the
spec and MongoDB's manual, for being read, not for speed: everything is copied, everything is searched.

    document_model_values     what is kept, how it compares
    document_model_filters    filters, sorting
    document_model_updates    operators of updates
    document_model_pipelines  projections, aggregations
    document_model_transactions
    document_model_commands   random commands of what the model knows
    document_model_stage      the service that is held against it
    document_model_agreement  whether both say the same
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.harness.document_model_filters import in_order, matches
from tests.harness.document_model_pipelines import passed_through, projected
from tests.harness.document_model_updates import (
    IMMUTABLE,
    ModelError,
    check_update,
    equalities,
    updated,
)
from tests.harness.document_model_values import (
    MISSING,
    Document,
    identical,
    same,
    shown,
    stored_document,
    stored_id,
)

__all__ = ["DUPLICATE_KEY", "Answer", "Caller", "Collection", "Entry", "ModelError"]

DUPLICATE_KEY = "11000"

Params = dict[str, Any]
Reach = Callable[[str | None], bool]


@dataclass(frozen=True)
class Entry:
    """A document and the user id of who inserted it. Never changed: writes put another one in its place."""

    document: Document
    owner: str | None = None


@dataclass(frozen=True)
class Caller:
    """Who asks. `reaches` tells by a document's owner whether the command is about it at all; `owner` becomes
    that of what it inserts; without `shown` a write answers no document."""

    reaches: Reach = lambda _: True
    owner: str | None = None
    shown: bool = True


@dataclass(frozen=True)
class Answer:
    """`data` of the service's answer. `ordered`: whether the order of `result` says anything."""

    affected: int
    result: Any = None
    extra: Params = field(default_factory=dict)
    ordered: bool = True


class Collection:
    """Documents in the order of their insertion."""

    def __init__(self, entries: Sequence[Entry] = (), *, by_name: bool = True) -> None:
        """`by_name`: updates visit fields in the order of their names, as MongoDB does. Else in the order of
        the update, and only an upsert's new fields come by their names in the end."""
        self.entries = list(entries)
        self.by_name = by_name

    def copy(self) -> Collection:
        return Collection(self.entries, by_name=self.by_name)

    def run(self, params: Params, caller: Caller, made: Iterator[Any]) -> Answer:
        """Carry out a command. `made` gives the ids of documents that come without one.

        Raises ModelError; what was written before stays, as in the database."""
        return _COMMANDS[params["command"]](self, params, caller, made)

    # Reading

    def _found(
        self, condition: Document, caller: Caller, sort: dict[str, int] | None = None
    ) -> list[Entry]:
        found = [
            each
            for each in self.entries
            if caller.reaches(each.owner) and matches(each.document, condition)
        ]
        return in_order(found, sort or {}, lambda each: each.document)

    def _page(self, params: Params, caller: Caller) -> list[Entry]:
        options = params.get("options", {})
        found = self._found(params.get("query", {}), caller, options.get("sort"))
        found = found[options.get("skip", 0) :]
        return found[: options.get("limit") or len(found)]

    def find(self, params: Params, caller: Caller, _: Iterator[Any]) -> Answer:
        options = params.get("options", {})
        result = [_shown(each, options) for each in self._page(params, caller)]
        return Answer(len(result), result, ordered="sort" in options)

    def find_one(self, params: Params, caller: Caller, _: Iterator[Any]) -> Answer:
        found = self._page(params, caller)[:1]
        return Answer(len(found), _shown(found[0], params.get("options", {})) if found else None)

    def count(self, params: Params, caller: Caller, _: Iterator[Any]) -> Answer:
        number = len(self._page(params, caller))
        return Answer(number, number)

    def distinct(self, params: Params, caller: Caller, _: Iterator[Any]) -> Answer:
        values: list[Any] = []
        for entry in self._found(params["query"], caller):
            for value in values_of(entry.document, params["key"]):
                if not any(same(value, each) for each in values):
                    values.append(value)
        return Answer(len(values), shown(values), ordered=False)

    def aggregate(self, params: Params, caller: Caller, _: Iterator[Any]) -> Answer:
        documents = [copy.deepcopy(each.document) for each in self._found({}, caller)]
        pipeline = params["pipeline"]
        result = passed_through(documents, pipeline)
        names = [name for stage in pipeline for name in stage]
        ordered = "$sort" in names and "$group" not in names
        return Answer(len(result), shown(result), ordered=ordered)

    # Inserting

    def insert_one(self, params: Params, caller: Caller, made: Iterator[Any]) -> Answer:
        identity = self._insert(stored_document(params["doc"]), caller, made)
        return Answer(1, {"insertedId": shown(identity), "ok": 1, "n": 1})

    def insert_many(self, params: Params, caller: Caller, made: Iterator[Any]) -> Answer:
        ids = [shown(self._insert(stored_document(each), caller, made)) for each in params["docs"]]
        result = {str(number): each for number, each in enumerate(ids)}
        return Answer(len(ids), result, {"insertedIds": ids})

    def _insert(self, document: Document, caller: Caller, made: Iterator[Any]) -> Any:
        identity = document["_id"] if "_id" in document else stored_id(next(made))
        if any(same(each.document["_id"], identity) for each in self.entries):
            raise ModelError(DUPLICATE_KEY)
        rest = {key: each for key, each in document.items() if key != "_id"}
        self.entries = [*self.entries, Entry({"_id": identity, **rest}, caller.owner)]
        return identity

    # Changing

    def update_one(self, params: Params, caller: Caller, made: Iterator[Any]) -> Answer:
        return self._update(params, caller, made, self._found(params["filter"], caller)[:1])

    def update_many(self, params: Params, caller: Caller, made: Iterator[Any]) -> Answer:
        return self._update(params, caller, made, self._found(params["filter"], caller))

    def _update(
        self, params: Params, caller: Caller, made: Iterator[Any], found: list[Entry]
    ) -> Answer:
        check_update(params["update"])
        if not found and params.get("options", {}).get("upsert"):
            identity = self._upsert(params, caller, made)
            return Answer(1, {"upsertedId": shown(identity)})
        return Answer(sum(self._change(each, params["update"]) for each in found))

    def _change(self, entry: Entry, update: Any) -> bool:
        document, changed = updated(entry.document, update, inserting=False, by_name=self.by_name)
        self._put(entry, document)
        return changed

    def _upsert(self, params: Params, caller: Caller, made: Iterator[Any]) -> Any:
        begun = equalities(params["filter"])
        document, _ = updated(begun, params["update"], inserting=True, by_name=self.by_name)
        if not self.by_name:
            names = [
                *(name for name in document if name in begun),
                *sorted(document.keys() - begun),
            ]
            document = {name: document[name] for name in names}
        return self._insert(document, caller, made)

    def replace_one(self, params: Params, caller: Caller, made: Iterator[Any]) -> Answer:
        found = self._found(params["filter"], caller)[:1]
        if found:
            return Answer(int(self._replace(found[0], params["doc"])))
        if params.get("options", {}).get("upsert"):
            identity = self._insert(_new(params["filter"], params["doc"]), caller, made)
            return Answer(1, {"upsertedId": shown(identity)})
        return Answer(0)

    def _replace(self, entry: Entry, replacement: Document) -> bool:
        """The owner stays."""
        document = {"_id": entry.document["_id"], **stored_document(replacement)}
        if not identical(document["_id"], entry.document["_id"]):
            raise ModelError(IMMUTABLE)
        self._put(entry, document)
        return not identical(document, entry.document)

    def _put(self, entry: Entry, document: Document) -> None:
        new = Entry(document, entry.owner)
        self.entries = [new if each is entry else each for each in self.entries]

    def _entry(self, identity: Any) -> Entry:
        return next(each for each in self.entries if same(each.document["_id"], identity))

    # Finding and changing

    def _first(self, params: Params, caller: Caller) -> Entry | None:
        found = self._found(params["filter"], caller, params.get("options", {}).get("sort"))
        return found[0] if found else None

    def find_one_and_update(self, params: Params, caller: Caller, made: Iterator[Any]) -> Answer:
        options = params.get("options", {})
        check_update(params["update"])
        before = self._first(params, caller)
        if before is not None:
            identity = before.document["_id"]
            self._change(before, params["update"])
        elif options.get("upsert"):
            identity = self._upsert(params, caller, made)
        else:
            return Answer(0)
        told = self._entry(identity) if options.get("returnNewDocument") else before
        return Answer(1, None if told is None else _shown(told, options))

    def find_one_and_replace(self, params: Params, caller: Caller, made: Iterator[Any]) -> Answer:
        options = params.get("options", {})
        before = self._first(params, caller)
        if before is not None:
            self._replace(before, params["replacement"])
            return Answer(1, _shown(before, options))
        if options.get("upsert"):
            self._insert(_new(params["filter"], params["replacement"]), caller, made)
            return Answer(1)
        return Answer(0)

    def find_one_and_delete(self, params: Params, caller: Caller, _: Iterator[Any]) -> Answer:
        before = self._first(params, caller)
        if before is None:
            return Answer(0)
        self._delete([before])
        return Answer(1, _shown(before, params.get("options", {})))

    # Deleting

    def delete_one(self, params: Params, caller: Caller, _: Iterator[Any]) -> Answer:
        return self._delete(self._found(params["filter"], caller)[:1])

    def delete_many(self, params: Params, caller: Caller, _: Iterator[Any]) -> Answer:
        return self._delete(self._found(params["filter"], caller))

    def _delete(self, found: list[Entry]) -> Answer:
        self.entries = [each for each in self.entries if not any(each is one for one in found)]
        return Answer(len(found))


def values_of(document: Document, path: str) -> list[Any]:
    """What `distinct` takes: values at the end of a path, items of an array there instead of itself."""
    values: list[Any] = [document]
    for part in path.split("."):
        parents = [item for each in values for item in (each if isinstance(each, list) else [each])]
        values = [each[part] for each in parents if isinstance(each, dict) and part in each]
    return [item for each in values for item in (each if isinstance(each, list) else [each])]


def _new(condition: Document, replacement: Document) -> Document:
    """What an upsert by a replacement makes: of the filter it has the id only."""
    identity = equalities(condition).get("_id", MISSING)
    begun = {} if identity is MISSING else {"_id": identity}
    document = {**begun, **stored_document(replacement)}
    if begun and not identical(begun["_id"], document["_id"]):
        raise ModelError(IMMUTABLE)
    return document


def _shown(entry: Entry, options: Params) -> Any:
    return shown(projected(entry.document, options.get("projection")))


_COMMANDS: dict[str, Callable[[Collection, Params, Caller, Iterator[Any]], Answer]] = {
    "find": Collection.find,
    "findOne": Collection.find_one,
    "count": Collection.count,
    "distinct": Collection.distinct,
    "aggregate": Collection.aggregate,
    "insertOne": Collection.insert_one,
    "insertMany": Collection.insert_many,
    "updateOne": Collection.update_one,
    "updateMany": Collection.update_many,
    "replaceOne": Collection.replace_one,
    "findOneAndUpdate": Collection.find_one_and_update,
    "findOneAndReplace": Collection.find_one_and_replace,
    "findOneAndDelete": Collection.find_one_and_delete,
    "deleteOne": Collection.delete_one,
    "deleteMany": Collection.delete_many,
}
