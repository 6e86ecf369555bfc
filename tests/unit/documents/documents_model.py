"""A collection in memory with the few operators that tests of owner rules need. Written from the database's
manual, not from the code under test: it knows no owner."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from runtime.messages import READS, DocumentCommand, Verb

Document = dict[str, Any]


class DuplicateIdError(Exception):
    """Code 11000."""


class Collection:
    def __init__(self, documents: list[Document]) -> None:
        self.documents = copy.deepcopy(documents)
        self._made = 0

    def run(self, command: DocumentCommand) -> Any:
        verb, arguments = command.verb, command.arguments
        if verb is Verb.AGGREGATE:
            return self.pipeline(self.documents, arguments["pipeline"])
        if verb in {Verb.INSERT_ONE, Verb.INSERT_MANY}:
            return self._insert_all(arguments.get("docs", [arguments.get("doc")]))
        condition = arguments.get("query", arguments.get("filter", {}))
        found = [each for each in self.documents if matches(each, condition)]
        if verb in READS:
            return self._read(verb, found, arguments)
        if verb not in {Verb.UPDATE_MANY, Verb.DELETE_MANY}:
            found = found[:1]
        if "update" not in arguments and "doc" not in arguments and "replacement" not in arguments:
            return self._remove(found)
        return self._write(found, condition, arguments, upsert=bool(command.options.get("upsert")))

    def pipeline(self, documents: list[Document], stages: list[Any]) -> list[Document]:
        documents = copy.deepcopy(documents)
        for stage in stages:
            ((name, body),) = stage.items()
            documents = getattr(self, f"_{name[1:].lower()}")(documents, body)
        return documents

    @staticmethod
    def _match(documents: list[Document], body: Any) -> list[Document]:
        return [each for each in documents if matches(each, body)]

    @staticmethod
    def _unset(documents: list[Document], body: Any) -> list[Document]:
        return [{k: v for k, v in each.items() if k != body} for each in documents]

    @staticmethod
    def _sort(documents: list[Document], body: Any) -> list[Document]:
        ((key, order),) = body.items()
        return sorted(documents, key=lambda each: each.get(key, -1), reverse=order < 0)

    @staticmethod
    def _limit(documents: list[Document], body: Any) -> list[Document]:
        return documents[:body]

    @staticmethod
    def _skip(documents: list[Document], body: Any) -> list[Document]:
        return documents[body:]

    @staticmethod
    def _project(documents: list[Document], body: Any) -> list[Document]:
        assert body == {"all": {"$objectToArray": "$$ROOT"}}
        return [{"_id": each["_id"], "all": sorted(each.items(), key=str)} for each in documents]

    def _facet(self, documents: list[Document], body: Any) -> list[Document]:
        return [{key: self.pipeline(documents, inner) for key, inner in body.items()}]

    def _unionwith(self, documents: list[Document], body: Any) -> list[Document]:
        inner = body.get("pipeline", []) if isinstance(body, dict) else []
        return documents + self.pipeline(self.documents, inner)

    def _lookup(self, documents: list[Document], body: Any) -> list[Document]:
        joined = self.pipeline(self.documents, body.get("pipeline", []))
        return [{**each, body["as"]: copy.deepcopy(joined)} for each in documents]

    @staticmethod
    def _read(verb: Verb, found: list[Document], arguments: Mapping[str, Any]) -> Any:
        if verb is Verb.COUNT:
            return len(found)
        if verb is Verb.DISTINCT:
            return sorted({each[arguments["key"]] for each in found if arguments["key"] in each})
        if verb is Verb.FIND_ONE:
            return copy.deepcopy(found[0]) if found else None
        return copy.deepcopy(found)

    def _write(
        self, found: list[Document], condition: Any, arguments: Mapping[str, Any], *, upsert: bool
    ) -> int:
        if "update" in arguments:
            return self._change(found, condition, arguments["update"], upsert=upsert)
        new = arguments.get("doc", arguments.get("replacement"))
        return self._replace(found, condition, new, upsert=upsert)

    def _insert_all(self, documents: list[Document]) -> int:
        for each in documents:
            self._insert(each)
        return len(documents)

    def _insert(self, document: Document) -> None:
        if "_id" not in document:
            self._made += 1
            document = {"_id": f"made-{self._made}", **document}
        if any(each["_id"] == document["_id"] for each in self.documents):
            raise DuplicateIdError
        self.documents.append(copy.deepcopy(document))

    def _remove(self, found: list[Document]) -> int:
        self.documents = [each for each in self.documents if each not in found]
        return len(found)

    def _change(self, found: list[Document], condition: Any, update: Any, *, upsert: bool) -> int:
        if found:
            for each in found:
                _apply(each, update, inserting=False)
            return len(found)
        if upsert:
            new = equalities(condition)
            _apply(new, update, inserting=True)
            self._insert(new)
        return 0

    def _replace(self, found: list[Document], condition: Any, new: Any, *, upsert: bool) -> int:
        if found:
            identity = found[0]["_id"]
            found[0].clear()
            found[0].update({"_id": identity, **copy.deepcopy(new)})
            return 1
        if upsert:
            identity = {key: each for key, each in equalities(condition).items() if key == "_id"}
            self._insert({**identity, **new})
        return 0


def matches(document: Document, condition: Any) -> bool:
    return all(_holds(document, key, wanted) for key, wanted in condition.items())


def _holds(document: Document, key: str, wanted: Any) -> bool:
    if key == "$and":
        return all(matches(document, each) for each in wanted)
    if key == "$or":
        return any(matches(document, each) for each in wanted)
    if key == "$nor":
        return not any(matches(document, each) for each in wanted)
    value = document.get(key)
    if not isinstance(wanted, dict):
        return bool(value == wanted)
    tests: dict[str, Callable[[Any], bool]] = {
        "$eq": lambda operand: value == operand,
        "$ne": lambda operand: value != operand,
        "$gt": lambda operand: value is not None and value > operand,
        "$in": lambda operand: value in operand,
        "$nin": lambda operand: value not in operand,
        "$exists": lambda operand: (key in document) is operand,
    }
    return all(tests[operator](operand) for operator, operand in wanted.items())


def equalities(condition: Any) -> Document:
    """What an upsert takes over from a filter."""
    taken: Document = {}
    for key, wanted in condition.items():
        if key == "$and":
            for each in wanted:
                taken.update(equalities(each))
        elif not key.startswith("$"):
            if not isinstance(wanted, dict):
                taken[key] = wanted
            elif "$eq" in wanted:
                taken[key] = wanted["$eq"]
    return taken


def _apply(document: Document, update: Any, *, inserting: bool) -> None:
    if isinstance(update, list):
        _apply_pipeline(document, update)
        return
    for operator, changes in update.items():
        for key, value in changes.items():
            if operator == "$set" or (operator == "$setOnInsert" and inserting):
                document[key] = copy.deepcopy(value)
            elif operator == "$inc":
                document[key] = document.get(key, 0) + value
            elif operator == "$unset":
                document.pop(key, None)
            elif operator == "$rename" and key in document:
                document[value] = document.pop(key)


def _apply_pipeline(document: Document, update: list[Any]) -> None:
    """The one pipeline that replaces a document: `$replaceWith` of `$mergeObjects`."""
    ((stage,),) = [list(each.items()) for each in update]
    assert stage[0] == "$replaceWith"
    merged: Document = {}
    for part in stage[1]["$mergeObjects"]:
        merged.update(_evaluate(document, part))
    document.clear()
    document.update(merged)


_MISSING = object()


def _evaluate(document: Document, expression: Any) -> Any:
    if isinstance(expression, str) and expression.startswith("$"):
        found = document.get(expression[1:], _MISSING)
        return found if found is _MISSING else copy.deepcopy(found)
    if not isinstance(expression, dict):
        return expression
    for operator, evaluate in _OPERATORS.items():
        if operator in expression:
            return evaluate(document, expression[operator])
    values = {key: _evaluate(document, each) for key, each in expression.items()}
    return {key: each for key, each in values.items() if each is not _MISSING}


def _cond(document: Document, operands: Any) -> Any:
    condition, then, otherwise = operands
    return _evaluate(document, then if _evaluate(document, condition) else otherwise)


def _eq(document: Document, operands: Any) -> bool:
    left, right = (_evaluate(document, each) for each in operands)
    return bool(left == right)


def _type(document: Document, operand: Any) -> str:
    return "missing" if _evaluate(document, operand) is _MISSING else "a type"


_OPERATORS: dict[str, Callable[[Document, Any], Any]] = {
    "$literal": lambda document, operand: copy.deepcopy(operand),
    "$type": _type,
    "$eq": _eq,
    "$cond": _cond,
}
